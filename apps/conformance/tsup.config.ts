import { program } from '../../tsup.config';

export default program();

import { library } from '../../tsup.config';

export default library();

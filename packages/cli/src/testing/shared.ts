export { haveShared, shared, sharedFolders } from '../../../../.ci/shared';

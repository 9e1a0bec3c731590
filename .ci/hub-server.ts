// A Hugging Face Hub on loopback, for the tests of other packages and for benches: it belongs to the runtime's own tests,
// and is in nothing that is published.
export { testCertificate } from '../packages/runtime/src/testing/certificate';
export {
  type ContentSource,
  type FaultRule,
  fileContent,
  type HubContent,
  HubServer,
  type HubServerOptions,
  Link,
  patternContent,
  type RepoOptions,
  type RequestRecord,
} from '../packages/runtime/src/testing/hub-server';

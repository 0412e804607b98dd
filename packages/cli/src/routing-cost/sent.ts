/** What one cluster spends on pushes, between accepting them and its comets. */
export interface Sent {
  /** Comets that were sent anything. */
  readonly comets: number;
  /** Messages of gRPC to comets. */
  readonly messages: number;
  /** Of these messages, as protobuf; what gRPC and HTTP/2 put around each is not counted. */
  readonly bytes: number;
  /** Commands, scripts and pipelines that Redis is sent, each with its answer. */
  readonly storeCalls: number;
}

/** What calls a logic. Loaded when it is needed: other commands start faster without gRPC. */
export async function loadGrpc() {
  const [{ withLogic }, { call }, { protos }, { outcomeOf }] = await Promise.all([
    import('./logic-client.js'),
    import('@halley/cluster/grpc/client'),
    import('@halley/cluster/grpc/protos'),
    import('@halley/cluster/grpc/status'),
  ]);
  return { withLogic, call, protos, outcomeOf };
}

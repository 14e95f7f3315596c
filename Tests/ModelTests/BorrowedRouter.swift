import Container
import Model

extension Router {
    /// Lends a router its biases while `body` uses it; none where an array is empty.
    static func with<Result>(
        _ experts: ModelConfiguration.Experts, bias: [Float] = [], logitBias: [Float] = [], _ body: (Router) -> Result
    ) -> Result {
        precondition([0, experts.routedExpertCount].contains(bias.count))
        precondition([0, experts.routedExpertCount].contains(logitBias.count))
        return unsafe bias.withUnsafeBufferPointer { biases in
            unsafe logitBias.withUnsafeBufferPointer { logitBiases in
                body(
                    unsafe Router(
                        experts: experts, bias: bias.isEmpty ? nil : biases.baseAddress,
                        logitBias: logitBias.isEmpty ? nil : logitBiases.baseAddress))
            }
        }
    }
}

/// Which experts a model's tokens used, layer by layer, as someone recorded them or as `SyntheticRouting` makes them.
package struct RoutingTrace: Sendable, Equatable {
    /// Layers with routed experts.
    package let layerCount: Int
    package let expertsPerLayer: Int
    package let expertsPerToken: Int
    /// [tokens][layers]: the experts of the token, none where the layer wasn't recorded. Generated tokens only: those of
    /// a prompt are computed together and tell nothing about one token after another.
    package let tokens: [[[Int32]]]

    package init(
        layerCount: Int, expertsPerLayer: Int, expertsPerToken: Int, tokens: [[[Int32]]]
    ) throws(RoutingTraceError) {
        guard layerCount > 0, expertsPerLayer > 0, expertsPerToken > 0, expertsPerToken <= expertsPerLayer else {
            throw RoutingTraceError(
                "it has \(layerCount) layers of \(expertsPerLayer) experts and \(expertsPerToken) a token")
        }
        for (index, token) in tokens.enumerated() {
            guard token.count == layerCount else {
                throw RoutingTraceError("token \(index) has \(token.count) layers instead of \(layerCount)")
            }
            for (layer, experts) in token.enumerated() {
                guard experts.allSatisfy({ 0..<Int32(clamping: expertsPerLayer) ~= $0 }),
                    Set(experts).count == experts.count, experts.count <= expertsPerToken
                else {
                    throw RoutingTraceError(
                        "token \(index), layer \(layer): \(experts) aren't up to \(expertsPerToken) different experts "
                            + "below \(expertsPerLayer)")
                }
            }
        }
        self.layerCount = layerCount
        self.expertsPerLayer = expertsPerLayer
        self.expertsPerToken = expertsPerToken
        self.tokens = tokens
    }

    package var expertCount: Int { layerCount * expertsPerLayer }
}

/// Why a trace can't be used.
package struct RoutingTraceError: Error, CustomStringConvertible, Equatable {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// What encoding lost in the matrices of one kind in one layer.
package struct RecordedLoss: Codable, Sendable, Equatable {
    /// nil for the model's own tensors.
    package var layer: Int?
    /// A role's name, or `experts.gate`, `experts.up`, `experts.down`.
    package var kind: String
    package var matrixCount: Int
    /// ‖x − x̂‖ / ‖x‖ of all of them together.
    package var relativeError: Double

    package init(layer: Int?, kind: String, matrixCount: Int, relativeError: Double) {
        self.layer = layer
        self.kind = kind
        self.matrixCount = matrixCount
        self.relativeError = relativeError
    }

    func check(_ check: inout ConfigurationCheck, layerCount: Int) {
        // Kinds are handed to a plotting program, which mustn't find anything else in them.
        let isPlain = kind.utf8.allSatisfy { UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 || $0 == 0x2E || $0 == 0x5F }
        check.require(
            "losses.kind", isPlain && (1...64).contains(kind.utf8.count), "1 to 64 letters, points and underscores",
            "\(kind.utf8.count) bytes")
        if let layer { check.range("losses.layer", layer, 0...max(0, layerCount - 1)) }
        check.range("losses.matrixCount", matrixCount, 1...Int.max)
        check.require(
            "losses.relativeError", relativeError >= 0 && relativeError < 1e6, "0 to 10^6", "\(relativeError)")
    }
}

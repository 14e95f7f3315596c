import Container

extension FamilyReading {
    /// Finds the layers for multi-token prediction that the files have.
    ///
    /// They come with copies of the embedding and of the head. A copy that is the same to the last bit is left out.
    ///
    /// - Returns: what a person should know, each a sentence.
    mutating func addPrediction(_ weights: WeightFiles, isTaken: Bool) throws(CheckpointError) -> [String] {
        var notes: [String] = []
        var layers: [ModelConfiguration.PredictionLayer] = []
        for layer in configuration.layerCount..<configuration.layerCount + predictionLayerCount {
            let prefix = CommonNames.prefix(ofLayer: layer)
            guard weights.entries.keys.contains(where: { $0.hasPrefix(prefix) }) else {
                notes.append(
                    "config.json tells of layer \(layer) for multi-token prediction, and the files don't have it.")
                continue
            }
            guard isTaken, layer == configuration.layerCount + layers.count else {
                skipped.append(SkippedSource(prefix: prefix, reason: "layer \(layer) (multi-token prediction)"))
                continue
            }
            func hasOwn(
                _ role: TensorRole, _ original: TensorRole, _ what: String
            ) throws(CheckpointError) -> Bool {
                let name = nameOfTensor(TensorKey(role, layer: layer))
                guard let copy = weights.entries[name] else { return false }
                let own = weights.entries[nameOfTensor(TensorKey(original))]
                let isSame = try own.map { own throws(CheckpointError) in try copy.hasBytes(of: own) }
                guard isSame == true else {
                    notes.append(
                        "Layer \(layer)'s \(what) isn't the model's own, so it is kept: \(copy.tensor.byteCount) bytes of "
                            + "the checkpoint.")
                    return true
                }
                skipped.append(SkippedSource(prefix: name, reason: "layer \(layer)'s copy of the \(what)"))
                return false
            }
            layers.append(
                .init(
                    hasOwnEmbedding: try hasOwn(.predictionEmbedding, .tokenEmbedding, "embedding"),
                    hasOwnHead: try hasOwn(.predictionHead, .outputHead, "head")))
        }
        configuration.predictionLayers = layers.isEmpty ? nil : layers
        return notes
    }
}

extension WeightFiles.Entry {
    private static let pieceByteCount = 4 << 20

    /// Whether both are of one type and shape and the same to the last bit.
    fileprivate func hasBytes(of other: Self) throws(CheckpointError) -> Bool {
        guard tensor.element == other.tensor.element, tensor.shape == other.tensor.shape else { return false }
        for start in stride(from: 0, to: tensor.byteCount, by: Self.pieceByteCount) {
            let count = min(Self.pieceByteCount, tensor.byteCount - start)
            let (place, otherPlace) = (tensor.offset + start, other.tensor.offset + start)
            guard
                try file.file.bytes(place..<place + count) == other.file.file.bytes(otherPlace..<otherPlace + count)
            else { return false }
        }
        return true
    }
}

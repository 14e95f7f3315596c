import Container

extension FamilyReading {
    /// Finds the layers for multi-token prediction that the files have.
    ///
    /// They come with copies of the embedding and of the head. A copy that is the same to the last bit is left out.
    ///
    /// - Returns: what a person should know, each a sentence.
    mutating func addPrediction(_ weights: some WeightSource, isTaken: Bool) throws(CheckpointError) -> [String] {
        guard predictionLayerCount > 0 else { return [] }
        let listed = weights.listed
        var notes: [String] = []
        var layers: [ModelConfiguration.PredictionLayer] = []
        for layer in configuration.layerCount..<configuration.layerCount + predictionLayerCount {
            let prefix = prefixOfLayer(layer)
            guard listed.contains(where: { $0.name.hasPrefix(prefix) }) else {
                notes.append(
                    "The configuration tells of layer \(layer) for multi-token prediction, and the files don't have it."
                )
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
                guard let copy = listed.first(where: { $0.name == name }) else { return false }
                guard try weights.isCopy(name, of: nameOfTensor(TensorKey(original))) else {
                    notes.append(
                        "Layer \(layer)'s \(what) isn't the model's own, so it is kept: \(copy.byteCount) bytes of the "
                            + "checkpoint.")
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

import Container

extension FamilyReading {
    /// Finds out whether an encoder-decoder's encoder and decoder embed tokens each by a matrix of its own.
    ///
    /// Files that have one matrix under several names have it more than once, and then it is taken once.
    mutating func findEmbeddings(_ weights: some WeightSource) throws(CheckpointError) {
        guard configuration.encoder != nil, !hasOneEmbedding else { return }
        let names = Set(weights.listed.map(\.name))
        let shared = SwitchTransformers.sharedEmbedding
        func own(_ name: String) throws(CheckpointError) -> String {
            guard names.contains(name) else { return shared }
            return try weights.isCopy(name, of: shared) ? shared : name
        }
        let encoding = try own(SwitchTransformers.encoderEmbedding)
        let decoding = try own(SwitchTransformers.decoderEmbedding)
        let nameOfTensor = nameOfTensor
        self.nameOfTensor = { key in
            switch key.role {
            case .encoderEmbedding: encoding
            case .tokenEmbedding: decoding
            default: nameOfTensor(key)
            }
        }
        if encoding != shared, decoding != shared {
            skipped.append(SkippedSource(prefix: shared, reason: "an embedding that neither half reads"))
        }
        guard encoding != decoding else { return }
        if try !weights.isCopy(encoding, of: decoding) { configuration.encoder?.hasOwnEmbedding = true }
    }
}

package import Checkpoint
package import Container

extension ImportanceMatrix {
    /// The inputs that a model has, with columns and rows: every matrix that may be quantised but the embedding, whose
    /// rows are looked up.
    package static func inputs(of model: ModelConfiguration) -> [Key: (columns: Int, rows: Int)] {
        var inputs: [Key: (columns: Int, rows: Int)] = [:]
        for tensor in model.residentTensors where !tensor.mustBeF32 && !tensor.key.role.isEmbedding {
            inputs[.tensor(tensor.key)] = (tensor.columns, 1)
        }
        guard let experts = model.experts else { return inputs }
        for (layer, isSparse) in model.sparseLayers.enumerated() where isSparse {
            inputs[.experts(layer: layer, .gateUp)] = (model.hiddenSize, experts.routedExpertCount)
            inputs[.experts(layer: layer, .down)] = (experts.intermediateSize, experts.routedExpertCount)
        }
        return inputs
    }

    /// What a recipe says of this.
    package var source: ImportanceSource {
        ImportanceSource(fingerprint: hexadecimal(fingerprint), textChecksums: origin.textChecksums)
    }

    /// Matrices of the model that this knows nothing of, in the order of their names.
    package func missing(from model: ModelConfiguration) -> [Key] {
        Self.inputs(of: model).keys.filter { moments[$0] == nil }.sorted { $0.description < $1.description }
    }

    /// - Parameter path: the file that this came from.
    /// - Throws: `CheckpointError` if a matrix of the model has another shape here, or most of the routed experts are
    ///   missing: then this was made for another model.
    package func check(against model: ModelConfiguration, path: String) throws(CheckpointError) {
        let inputs = Self.inputs(of: model)
        for (key, shape) in inputs.sorted(by: { $0.key.description < $1.key.description }) {
            guard let moments = moments[key] else { continue }
            guard moments.columnCount == shape.columns, moments.counts.count == shape.rows else {
                throw CheckpointError(
                    .wrongTensor, "this importance matrix was made for another model", path: path, tensor: "\(key)",
                    expected: "\(shape.rows) rows of \(shape.columns) columns",
                    found: "\(moments.counts.count) rows of \(moments.columnCount)")
            }
        }
        if let hessians {
            for (key, columns) in HessianKey.inputs(of: model) {
                guard let found = hessians.columns(of: key), found != columns else { continue }
                throw CheckpointError(
                    .wrongTensor, "this importance matrix was made for another model", path: path,
                    tensor: "\(key)\(HessianStore.suffix)", expected: "\(columns) columns", found: "\(found)")
            }
        }
        let missing = missing(from: model)
        guard missing.count * 2 <= inputs.count else {
            throw CheckpointError(
                .missingTensor, "this importance matrix was made for another model", path: path,
                tensor: missing.first.map { "\($0)" }, expected: "\(inputs.count) matrices",
                found: "\(inputs.count - missing.count)")
        }
    }
}

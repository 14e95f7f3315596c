package import Checkpoint
import Container

/// llama.cpp's importance matrices in their GGUF form: for each weight NAME a tensor `NAME.in_sum2` [columns, matrices],
/// the sums of squares, and `NAME.counts` [1, matrices], the tokens of each matrix, both F32.
///
/// What has no place in a model of ours is left out: matrices of other architectures, and `attn_k_b` and `attn_v_b`,
/// whose inputs aren't those of the `kv_b` that they were split from.
extension ImportanceMatrix {
    package init(_ file: GGUFFile) throws(CheckpointError) {
        guard file.text("general.type") == "imatrix" else {
            throw CheckpointError(
                .malformedHeader, "a GGUF file, but not an importance matrix", path: file.path, key: "general.type",
                expected: "imatrix", found: file.text("general.type").map { "\($0.prefix(80))" } ?? "none")
        }
        let tensors = Dictionary(file.tensors.map { ($0.name, $0) }) { first, _ in first }
        var moments: [Key: Moments] = [:]
        for tensor in file.tensors where tensor.name.hasSuffix(".weight.in_sum2") {
            let name = String(tensor.name.dropLast(".weight.in_sum2".count))
            guard let key = Self.key(ofGGUF: name) else { continue }
            guard let counts = tensors["\(name).weight.counts"] else {
                throw CheckpointError(
                    .missingTensor, "the sums have no counts beside them", path: file.path, offset: tensor.offset,
                    tensor: "\(name).weight.counts")
            }
            // Gate and up have the same input, so the first of them says it all.
            if moments[key] == nil { moments[key] = try Self.moments(file, sums: tensor, counts: counts, key) }
        }
        guard !moments.isEmpty else {
            throw CheckpointError(
                .missingTensor, "no matrix of a model that can be converted is in this importance matrix",
                path: file.path, expected: "names such as blk.3.ffn_down_exps.weight.in_sum2")
        }
        let chunk = file.integer("imatrix.chunk_size").flatMap { 0...Self.greatestCount ~= $0 ? $0 : nil } ?? 0
        let count = file.integer("imatrix.chunk_count").flatMap { 0...Self.greatestCount ~= $0 ? $0 : nil } ?? 0
        self.init(
            moments: moments,
            origin: Origin(
                textNames: file.texts("imatrix.datasets") ?? [], contextLength: chunk,
                tokenCount: chunk.multipliedReportingOverflow(by: count).partialValue))
    }

    private static func moments(
        _ file: GGUFFile, sums: GGUFFile.Tensor, counts: GGUFFile.Tensor, _ key: Key
    ) throws(CheckpointError) -> Moments {
        let columns = sums.dimensions[0]
        let rows = sums.elementCount / columns
        var isSingle = true
        if case .experts = key { isSingle = false }
        guard sums.type == .f32, counts.type == .f32, rows <= greatestRowCount, counts.elementCount == rows,
            !isSingle || rows == 1
        else {
            throw CheckpointError(
                .wrongTensor, "sums and counts don't fit together", path: file.path, offset: sums.offset,
                tensor: sums.name, expected: "F32 [columns, \(isSingle ? "1" : "matrices")] and as many counts",
                found: "\(sums.dimensions) and \(counts.dimensions)")
        }
        var numbers: [Int] = []
        for value in try file.floats(of: counts) {
            guard let count = Int(exactly: value.rounded()) else {
                throw CheckpointError(
                    .wrongTensor, "a count that can't be right", path: file.path, offset: counts.offset,
                    tensor: counts.name, found: "\(value)")
            }
            numbers.append(count)
        }
        return try Moments(
            checking: try file.floats(of: sums), counts: numbers, columns: columns, of: key, path: file.path)
    }

    /// `blk.3.attn_q_a` is layer 3's query latent, and so on.
    private static func key(ofGGUF name: String) -> Key? {
        if name == "output" { return .tensor(TensorKey(.outputHead)) }
        let parts = name.split(separator: ".")
        guard parts.count == 3, parts[0] == "blk", let layer = Int(parts[1]), 0..<65536 ~= layer else { return nil }
        let role: TensorRole
        switch parts[2] {
        case "ffn_gate_exps", "ffn_up_exps", "ffn_gate_up_exps": return .experts(layer: layer, .gateUp)
        case "ffn_down_exps": return .experts(layer: layer, .down)
        case "attn_q": role = .query
        case "attn_q_a": role = .queryDown
        case "attn_q_b": role = .queryUp
        case "attn_kv_a_mqa": role = .keyValueDown
        case "attn_kv_b": role = .keyValueUp
        case "attn_k": role = .key
        case "attn_v": role = .value
        case "attn_output": role = .attentionOutput
        case "ffn_gate": role = .denseGate
        case "ffn_up": role = .denseUp
        case "ffn_down": role = .denseDown
        case "ffn_gate_inp": role = .router
        case "ffn_gate_shexp": role = .sharedGate
        case "ffn_up_shexp": role = .sharedUp
        case "ffn_down_shexp": role = .sharedDown
        default: return nil
        }
        return .tensor(TensorKey(role, layer: layer))
    }
}

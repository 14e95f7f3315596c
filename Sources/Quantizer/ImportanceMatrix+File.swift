package import Checkpoint
import Container

/// The file: safetensors, so that anyone can read it. For each key NAME it holds `NAME.sums`, F32 [rows, columns], the
/// sums of squares, and `NAME.counts`, I64 [rows], the tokens; `__metadata__` says what it is and what it was made from.
/// Second-order matrices are `NAME.hessian`, F32 [n · (n + 1) / 2], the lower triangle of Σ x xᵀ row after row, with their
/// XXH3-64 in `hessians.checksums`, I64, in the order of their names.
extension ImportanceMatrix {
    private static let format = "moed importance matrix 1"
    /// Of any one row; far more than anyone reads, and sums of them can't overflow.
    static let greatestCount = 1 << 40
    /// Of rows: experts of a layer.
    static let greatestRowCount = 1 << 16

    package func write(to path: String) throws(CheckpointError) {
        var writer = SafetensorsWriter(metadata: Self.metadata(origin))
        for (key, moments) in moments.sorted(by: { $0.key.description < $1.key.description }) {
            let rows = moments.counts.count
            writer.add("\(key).sums", shape: [rows, moments.columnCount], floats: moments.sums)
            writer.add("\(key).counts", shape: [rows], integers: moments.counts.map(Int64.init))
        }
        try writer.write(to: path)
    }

    static func metadata(_ origin: Origin) -> [String: String] {
        [
            "format": format,
            "text.checksums": origin.textChecksums.joined(separator: "\n"),
            "text.names": origin.textNames.joined(separator: "\n"),
            "context": "\(origin.contextLength)",
            "tokens": "\(origin.tokenCount)",
        ]
    }

    /// Reads a file of either kind, ours or llama.cpp's, told apart by its first bytes.
    package init(path: String) throws(CheckpointError) {
        let file = try InputFile(path: path)
        if try file.bytes(0..<min(4, file.byteCount)) == GGUFFile.magic {
            try self.init(GGUFFile(file))
        } else {
            try self.init(SafetensorsFile(path: path))
        }
    }

    private init(_ file: SafetensorsFile) throws(CheckpointError) {
        let metadata = file.header.metadata
        guard metadata["format"] == Self.format else {
            throw CheckpointError(
                .malformedHeader, "not an importance matrix", path: file.path, key: "__metadata__.format",
                expected: "'\(Self.format)'", found: metadata["format"].map { "'\($0.prefix(60))'" } ?? "none",
                advice: "moe-quantize calibrate makes one; llama.cpp's are read in their GGUF form")
        }
        func number(_ key: String) throws(CheckpointError) -> Int {
            guard let value = metadata[key].flatMap({ Int($0) }), 0...Self.greatestCount ~= value else {
                throw CheckpointError(
                    .malformedHeader, "a number is missing or out of range", path: file.path,
                    key: "__metadata__.\(key)", found: metadata[key].map { "'\($0.prefix(40))'" } ?? "none")
            }
            return value
        }
        func list(_ key: String) -> [String] { (metadata[key] ?? "").split(separator: "\n").map(String.init) }
        let origin = Origin(
            textChecksums: list("text.checksums"), textNames: list("text.names"), contextLength: try number("context"),
            tokenCount: try number("tokens"))

        let tensors = Dictionary(file.header.tensors.map { ($0.name, $0) }) { first, _ in first }
        var moments: [Key: Moments] = [:]
        for tensor in file.header.tensors where tensor.name.hasSuffix(".sums") {
            let name = String(tensor.name.dropLast(".sums".count))
            guard let key = Key(name) else {
                throw CheckpointError(
                    .unexpectedTensor, "no matrix of a model has this name", path: file.path, offset: tensor.offset,
                    tensor: String(tensor.name.prefix(200)))
            }
            guard let counts = tensors[name + ".counts"] else {
                throw CheckpointError(
                    .missingTensor, "the sums have no counts beside them", path: file.path, offset: tensor.offset,
                    tensor: name + ".counts")
            }
            moments[key] = try Self.moments(file, sums: tensor, counts: counts, key)
        }
        let hessians = try HessianStore(file)
        let expected = moments.count * 2 + (hessians.map { $0.count + 1 } ?? 0)
        guard expected == file.header.tensors.count, !moments.isEmpty else {
            throw CheckpointError(
                .unexpectedTensor, "the tensors aren't pairs of sums and counts", path: file.path,
                expected: "\(expected) tensors", found: "\(file.header.tensors.count)")
        }
        self.init(moments: moments, origin: origin, hessians: hessians)
    }

    private static func moments(
        _ file: SafetensorsFile, sums: SafetensorsHeader.Tensor, counts: SafetensorsHeader.Tensor, _ key: Key
    ) throws(CheckpointError) -> Moments {
        guard sums.element == .f32, sums.shape.count == 2, sums.shape.allSatisfy({ $0 > 0 }),
            sums.shape[0] <= greatestRowCount, counts.element == .i64, counts.shape == [sums.shape[0]]
        else {
            throw CheckpointError(
                .wrongTensor, "sums and counts don't fit together", path: file.path, offset: sums.offset,
                tensor: "\(key)", expected: "F32 [rows, columns] and I64 [rows]",
                found: "\(sums.element.rawValue) \(sums.shape) and \(counts.element.rawValue) \(counts.shape)")
        }
        return try Moments(
            checking: try file.floats(of: sums), counts: try file.integers(of: counts), columns: sums.shape[1], of: key,
            path: file.path)
    }
}

extension ImportanceMatrix.Moments {
    /// - Throws: `CheckpointError` for numbers that no calibration gives: one that isn't finite, is negative, is too
    ///   large, or sums without tokens.
    init(checking sums: [Float], counts: [Int], columns: Int, of key: ImportanceMatrix.Key, path: String)
        throws(CheckpointError)
    {
        func failure(_ message: String, _ found: String) -> CheckpointError {
            CheckpointError(.wrongTensor, message, path: path, tensor: "\(key)", found: found)
        }
        for (row, count) in counts.enumerated() {
            guard 0...ImportanceMatrix.greatestCount ~= count else {
                throw failure("a count that can't be right in row \(row)", "\(count)")
            }
            for value in sums[row * columns..<(row + 1) * columns] {
                guard value.isFinite, value >= 0 else {
                    throw failure("a sum of squares that isn't finite or is negative in row \(row)", "\(value)")
                }
                guard value == 0 || count > 0 else {
                    throw failure("row \(row) has sums but saw no token", "\(value)")
                }
            }
        }
        guard counts.count > 1 || counts[0] > 0 else { throw failure("a matrix that saw no token", "count 0") }
        self.init(columnCount: columns, sums: sums, counts: counts)
    }
}

extension ImportanceMatrix.Key {
    /// The key of a name, `layers.3.attention.output` or `layers.3.experts.down`.
    init?(_ name: String) {
        let parts = name.split(separator: ".", maxSplits: 2).map(String.init)
        guard parts.count == 3, parts[0] == "layers", let layer = Int(parts[1]), 0..<65536 ~= layer,
            parts[1] == "\(layer)"
        else {
            guard let role = TensorRole.allCases.first(where: { !$0.isLayered && $0.name == name }) else { return nil }
            self = .tensor(TensorKey(role))
            return
        }
        if parts[2].hasPrefix("experts.") {
            guard let input = ImportanceMatrix.ExpertInput(rawValue: String(parts[2].dropFirst(8))) else { return nil }
            self = .experts(layer: layer, input)
        } else {
            guard let role = TensorRole.allCases.first(where: { $0.isLayered && $0.name == parts[2] }) else {
                return nil
            }
            self = .tensor(TensorKey(role, layer: layer))
        }
    }
}

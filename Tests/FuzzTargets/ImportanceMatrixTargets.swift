import Checkpoint
import Container
import FoundationEssentials
import Quantizer
import TestSupport

extension FuzzedFile {
    /// Whether it reads as an importance matrix, all of whose weights must be finite and not negative.
    func readImportanceMatrix(_ bytes: [UInt8]) throws -> Bool {
        try replace(with: bytes)
        guard let matrix = try? ImportanceMatrix(path: path) else { return false }
        for key in matrix.moments.keys {
            let weights =
                switch key {
                case .tensor(let tensor): matrix.weights(for: tensor)
                case .experts(let layer, let input): matrix.weights(for: ExpertKey(layer: layer, expert: 0), input)
                }
            guard weights?.allSatisfy({ $0.isFinite && $0 >= 0 }) != false else {
                throw FuzzFailure("\(key) has weights that can't be")
            }
        }
        _ = matrix.silentExperts
        return true
    }
}

/// Our own files: a safetensors header, whose length is mostly made right again, and numbers.
struct ImportanceMatrixTarget: FuzzTarget {
    let samples: [[UInt8]]
    let words = [
        "layers.1.experts.down", ".sums", ".counts", ".hessian", "__metadata__", "format", #""shape":[1,4]"#, "I64",
        "F32",
    ]
    private let file: FuzzedFile

    init() throws {
        file = try FuzzedFile()
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/sample"
        let matrix = ImportanceMatrix(
            moments: [
                .tensor(TensorKey(.outputHead)): .init(columnCount: 4, sums: [1, 2, 0, 4], counts: [3]),
                .experts(layer: 1, .down): .init(columnCount: 2, sums: [1, 0.5, 0, 0, 7, 2], counts: [4, 0, 2]),
            ],
            origin: .init(textChecksums: ["0123456789abcdef"], textNames: ["text"], contextLength: 8, tokenCount: 9))
        try matrix.write(to: path)
        let plain = [UInt8](try Data(contentsOf: URL(filePath: path)))
        var writer = SafetensorsWriter(metadata: ["format": "moed importance matrix 1", "context": "8", "tokens": "9"])
        writer.add("output.head.sums", shape: [1, 2], floats: [1, 2])
        writer.add("output.head.counts", shape: [1], integers: [Int64(9)])
        writer.add("output.norm.hessian", shape: [3], floats: [1, 0.5, 2])
        writer.add("layers.1.experts.0.down.hessian", shape: [1], floats: [4])
        writer.add("hessians.checksums", shape: [2], integers: [Int64(1), 2])
        try writer.write(to: path)
        samples = [plain, [UInt8](try Data(contentsOf: URL(filePath: path)))]
    }

    func mutate(_ sample: [UInt8], _ mutator: inout Mutator) -> [UInt8] {
        guard mutator.chance(7, in: 8) else { return mutator.mutate(sample) }
        let length = sample[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        var (json, data) = (Array(sample[8..<8 + length]), Array(sample[(8 + length)...]))
        if mutator.chance(1, in: 2) { json = mutator.mutate(json) } else { data = mutator.mutate(data) }
        return Self.length(json.count) + json + data
    }

    /// The header reaches to the last bracket.
    func sealed(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.count > 8, let end = bytes.lastIndex(of: UInt8(ascii: "}")), end >= 8 else { return bytes }
        return Self.length(end - 7) + bytes[8...]
    }

    private static func length(_ count: Int) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) }
    }

    func feed(_ bytes: [UInt8]) throws -> Bool { try file.readImportanceMatrix(bytes) }
}

/// llama.cpp's: a GGUF file.
struct LlamaImportanceMatrixTarget: FuzzTarget {
    let samples: [[UInt8]]
    let words = ["GGUF", "general.type", "imatrix", "general.alignment", ".weight.in_sum2", ".weight.counts", "blk.1."]
    private let file: FuzzedFile

    init() throws {
        file = try FuzzedFile()
        func number(_ value: Int, _ byteCount: Int) -> [UInt8] {
            (0..<byteCount).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        }
        func text(_ text: String) -> [UInt8] { number(text.utf8.count, 8) + Array(text.utf8) }
        func tensor(_ name: String, _ dimensions: [Int], at offset: Int) -> [UInt8] {
            text(name) + number(dimensions.count, 4) + dimensions.flatMap { number($0, 8) } + number(0, 4)
                + number(offset, 8)
        }
        var bytes = Array("GGUF".utf8) + number(3, 4) + number(4, 8) + number(4, 8)
        bytes += text("general.type") + number(8, 4) + text("imatrix")
        bytes += text("imatrix.datasets") + number(9, 4) + number(8, 4) + number(1, 8) + text("wiki")
        bytes += text("imatrix.chunk_size") + number(4, 4) + number(512, 4)
        bytes += text("imatrix.chunk_count") + number(4, 4) + number(2, 4)
        bytes += tensor("blk.1.ffn_down_exps.weight.in_sum2", [4, 2], at: 0)
        bytes += tensor("blk.1.ffn_down_exps.weight.counts", [1, 2], at: 32)
        bytes += tensor("blk.1.attn_output.weight.in_sum2", [2, 1], at: 64)
        bytes += tensor("blk.1.attn_output.weight.counts", [1, 1], at: 96)
        bytes += [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32)
        for values in [[1, 2, 3, 4, 0, 0, 0, 0], [5, 0], [3, 4], [7]] as [[Float]] {
            let data = values.flatMap { number(Int($0.bitPattern), 4) }
            bytes += data + [UInt8](repeating: 0, count: 32 - data.count)
        }
        samples = [bytes]
    }

    func feed(_ bytes: [UInt8]) throws -> Bool { try file.readImportanceMatrix(bytes) }
}

import Checkpoint
import Container
import Foundation
import GGUFSupport
import Quantizer
import TestSupport
import Tokenizer

/// Checkpoints whose vocabulary is no `tokenizer.json`, made of small ones and the fixtures' vocabularies, and converted.
struct ConvertedCheckpoint {
    let checkpoint: Checkpoint
    let tokenizer: Tokenizer

    private static let fixtures = "\(Fixtures.root)/Tests/Fixtures/tokenizer"

    /// - Parameter write: a checkpoint into a folder, of which it tells the path.
    private init(_ write: (String) throws -> String) throws {
        let directory = try TemporaryDirectory()
        checkpoint = try Checkpoint(path: write(directory.path))
        let conversion = Conversion(
            checkpoint, plan: FormatPlan(checkpoint.configuration, type: .f32, isPure: false), packing: .never,
            threadCount: 1, progress: ConversionProgress(totalByteCount: 1, hashByteCount: 1))
        let path = "\(directory.path)/converted.moe"
        _ = try conversion.run(into: ContainerWriter(path: path, replacing: false), tool: "tests")
        let text = try ContainerReader(path: path).text
        tokenizer = try Tokenizer(tokenizerJSON: text.tokenizerJSON ?? [], configJSON: text.tokenizerConfigJSON)
    }

    /// Moonlight with a `tiktoken.model`, and a row for each of its tokens and 256 special ones.
    static func ranks() throws -> ConvertedCheckpoint {
        try ConvertedCheckpoint { directory in
            for name in ["tiktoken.model", "tokenizer_config.json"] {
                try FileManager.default.copyItem(
                    atPath: "\(fixtures)/tiktoken/\(name)", toPath: "\(directory)/\(name)")
            }
            let lines = try String(contentsOfFile: "\(directory)/tiktoken.model", encoding: .utf8).split(
                separator: "\n")
            let count = lines.count + 256
            let source = Fixtures.checkpoint("moonlight")
            let configuration = try String(contentsOfFile: "\(source)/config.json", encoding: .utf8)
            try Data(configuration.replacing(#""vocab_size": 256"#, with: #""vocab_size": \#(count)"#).utf8)
                .write(to: URL(filePath: "\(directory)/config.json"))
            let file = try SafetensorsFile(path: "\(source)/model.safetensors")
            var writer = SafetensorsWriter()
            for tensor in file.header.tensors {
                let bytes = try file.file.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
                let hasRows = ["model.embed_tokens.weight", "lm_head.weight"].contains(tensor.name)
                writer.add(
                    tensor.name, tensor.element, shape: hasRows ? [count, tensor.shape[1]] : tensor.shape,
                    bytes: hasRows ? rows(bytes, from: tensor.shape[0], to: count) : bytes)
            }
            try writer.write(to: "\(directory)/model.safetensors")
            return directory
        }
    }

    /// Llama as a GGUF file with SentencePiece's pieces inside, and a row for each of them.
    static func pieces() throws -> ConvertedCheckpoint {
        try ConvertedCheckpoint { directory in
            var image = try GGUFFixture("llama", .f32).image
            let vocabulary = try GGUFFile(InputFile(path: "\(fixtures)/pieces.gguf"))
            for (key, value) in vocabulary.values {
                image[key] =
                    switch value {
                    case .texts(let texts): .texts(texts)
                    case .integers(let integers): .int32s(integers.map { Int32($0) })
                    case .numbers(let numbers): .float32s(numbers)
                    case .integer(let integer): .uint32(UInt32(integer))
                    case .bool(let bool): .bool(bool)
                    case .text(let text): .text(text)
                    case .number, .list: nil
                    }
            }
            let count = vocabulary.texts("tokenizer.ggml.tokens")?.count ?? 0
            for name in ["token_embd.weight", "output.weight"] {
                guard let tensor = image[tensor: name] else { continue }
                image[tensor: name]?.bytes = rows(tensor.bytes, from: tensor.dimensions[1], to: count)
                image[tensor: name]?.dimensions[1] = count
            }
            try image.write(to: "\(directory)/model.gguf")
            return "\(directory)/model.gguf"
        }
    }

    /// The rows again and again.
    private static func rows(_ bytes: [UInt8], from count: Int, to newCount: Int) -> [UInt8] {
        let stride = bytes.count / count
        return (0..<newCount).flatMap { row in bytes[row % count * stride..<(row % count + 1) * stride] }
    }
}

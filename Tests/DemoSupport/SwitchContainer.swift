import Checkpoint
import Container
import Foundation
package import Quantizer
import TestSupport

/// The Switch checkpoint with a tokenizer, as a container: an encoder-decoder that can be served. What it says means
/// nothing.
package final class SwitchContainer: Sendable {
    package let path: String
    private let directory: TemporaryDirectory

    /// A prompt whose tokens, with the end of the text behind them, are the reference's input.
    package static let prompt: String = String(input.compactMap { letters[$0] })
    /// What the reference's greedy answer reads like: one letter again and again.
    package static let answer = String(repeating: "a", count: 24)

    private static let input = [
        83, 138, 123, 195, 41, 5, 248, 169, 95, 152, 17, 100, 24, 70, 16, 250, 162, 84, 208, 210, 219, 223, 102, 232,
        180,
        224, 139, 175, 174, 39, 248, 236, 142, 247, 26, 133, 158, 130, 55,
    ]
    private static let letters: [Int: Character] = {
        var letters: [Int: Character] = [174: "a"]
        var rest = "bcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[...]
        for id in input where letters[id] == nil { letters[id] = rest.popFirst() }
        return letters
    }()

    /// With `words.json`, a Unigram tokenizer: a prompt whose tokens are the same.
    package static let words =
        "the and was her The with said had you want for look that Timmy big play mom him day but girl see Lily could put "
        + "did went were time like said happy star there friends thank not man know"

    package enum Tokens: Sendable {
        /// One for each byte.
        case letters
        case words
    }

    package init(_ type: ConversionType = .f32, tokens: Tokens = .letters) throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/switch.moe"
        let folder = "\(directory.path)/checkpoint"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for name in ["config.json", "model.safetensors"] {
            try FileManager.default.copyItem(
                atPath: "\(Fixtures.checkpoint("switch"))/\(name)", toPath: "\(folder)/\(name)")
        }
        switch tokens {
        case .letters:
            try Data(Self.tokenizer().utf8).write(to: URL(fileURLWithPath: "\(folder)/tokenizer.json"))
        case .words:
            try FileManager.default.copyItem(
                atPath: "\(Fixtures.root)/Tests/Fixtures/tokenizer/words.json", toPath: "\(folder)/tokenizer.json")
        }
        let source = try Checkpoint(directory: folder)
        let conversion = Conversion(
            source, plan: FormatPlan(source.configuration, type: type, isPure: false), packing: .never, threadCount: 1,
            progress: ConversionProgress(totalByteCount: Conversion.sourceByteCount(of: source), hashByteCount: 0))
        _ = try conversion.run(into: ContainerWriter(path: path, replacing: false), tool: "tests")
    }

    /// Ids 0 and 1 are the start and the end; those of the reference's input are letters, and the others what is left of the
    /// bytes.
    private static func tokenizer() throws -> String {
        var ids: [UInt8: Int] = [:]
        for (id, letter) in letters { if let byte = letter.asciiValue { ids[byte] = id } }
        var free = (2..<256).filter { letters[$0] == nil }
        // C0, C1 and what is above F4 occur in no text, and so need no token.
        for byte in UInt8.min..<0xF5 where byte != 0xC0 && byte != 0xC1 && ids[byte] == nil {
            ids[byte] = free.removeFirst()
        }
        let extra = free.map { ByteTokenizer.Added(id: $0, text: "<extra_\($0)>") }
        return try ByteTokenizer.json(ids: ids, [.init(id: 0, text: "<pad>"), .init(id: 1, text: "</s>")] + extra)
    }
}

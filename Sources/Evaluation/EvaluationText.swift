import Checkpoint
package import Container
import Tokenizer

/// A text in a model's tokens, cut into chunks that the model reads one by one, each from an empty cache.
package struct EvaluationText: Sendable {
    /// The text as people compare it: results of different texts mean nothing beside each other.
    package struct Identity: Sendable, Equatable {
        package var name: String
        package var byteCount: Int
        /// XXH3-64 of the bytes, in 16 hexadecimal digits.
        package var checksum: String
    }

    package let identity: Identity
    package let contextLength: Int
    /// Every one `contextLength` tokens long.
    package let chunks: [ArraySlice<Int32>]
    package var tokenCount: Int { chunks.count * contextLength }

    /// Far more than is ever evaluated, and still in memory.
    private static let greatestByteCount = 1 << 30

    package init(path: String, container: ContainerReader, contextLength: Int) throws {
        let bytes = try InputFile(path: path).allBytes(atMost: Self.greatestByteCount)
        try self.init(
            name: path.split(separator: "/").last.map(String.init) ?? path, bytes: bytes, container: container,
            contextLength: contextLength)
    }

    /// - Parameter contextLength: of a chunk, at least 2. What doesn't fill the last chunk is left out. A chunk's first
    ///   token is replaced by the token that begins a text, where the model has one, as llama.cpp's tools do it.
    package init(name: String, bytes: [UInt8], container: ContainerReader, contextLength: Int) throws {
        guard let json = container.text.tokenizerJSON else {
            throw EvaluationError(
                .noTokenizer,
                "\(container.path) has no tokenizer, so a text can't be given to it. Convert a checkpoint that "
                    + "has one")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw EvaluationError(.unusableText, "\(name) isn't UTF-8 text")
        }
        let tokenizer = try Tokenizer(tokenizerJSON: json, configJSON: container.text.tokenizerConfigJSON)
        let begin = tokenizer.prefix.first ?? tokenizer.beginToken
        let tokens =
            (begin.map { [$0] } ?? []) + (try tokenizer.encode(text, special: .literal, addBegin: false))
        let count = tokens.count / contextLength
        guard count > 0 else {
            throw EvaluationError(
                .unusableText,
                "\(name) has \(tokens.count) tokens, fewer than one chunk of \(contextLength). Give a longer text or a "
                    + "smaller --context")
        }
        chunks = (0..<count).map { index in
            var chunk = tokens[index * contextLength..<(index + 1) * contextLength]
            if let begin { chunk[chunk.startIndex] = begin }
            return chunk
        }
        self.contextLength = contextLength
        identity = Identity(name: name, byteCount: bytes.count, checksum: hexadecimal(XXH3.hash(bytes)))
    }
}

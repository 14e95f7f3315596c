import Container
import ContainerFixtures
import TestSupport
import Testing

/// Files whose checksums are right and whose contents are not.
@Suite struct ContainerHostileTests {
    private typealias Field = ContainerImage.Field
    private static let none = UInt64(UInt32.max)

    struct Change: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let code: ContainerError.Code
        /// What the error's field ends in.
        let field: String
        let apply: @Sendable (inout ContainerImage) -> Void

        init(
            _ name: String, _ code: ContainerError.Code, _ field: String,
            _ apply: @escaping @Sendable (inout ContainerImage) -> Void
        ) {
            testDescription = name
            self.code = code
            self.field = field
            self.apply = apply
        }
    }

    static let changes: [Change] = [
        Change("major version", .unsupported, "version") { $0.bytes[8] = 2 },
        Change("minor version", .unsupported, "version") { $0.bytes[10] = UInt8(ContainerFormat.minorVersion) + 1 },
        Change("superblock's size", .malformed, "superblock.byteCount") { $0.bytes[13] = 0x20 },
        Change("reserved bytes of the superblock", .malformed, "superblock.reserved") { $0.bytes[100] = 1 },
        Change("file length", .truncated, "file.byteCount") { $0[16] += 1 },
        Change("index before the data", .badRange, "index.offset") { $0[24] = 0 },
        Change("index behind the end", .badRange, "index.offset") { $0[24] = .max },
        Change("index not aligned", .badRange, "index.offset") { $0[24] += 8 },
        Change("index earlier", .badRange, "index.byteCount") { $0[24] -= 64 },
        Change("index too long", .tooLarge, "index.byteCount") { $0[32] = 1 << 28 + 1 },
        Change("index's length overflows", .tooLarge, "index.byteCount") { $0[32] = .max },
        Change("index shorter than its header", .badRange, "index.byteCount") { $0[32] = 63 },

        Change("metadata longer than the index", .malformed, "metadata") { $0[$0.indexOffset] = 1 << 20 },
        Change("metadata's length overflows", .malformed, "metadata") { $0[$0.indexOffset] = .max },
        Change("tokenizer's length overflows", .malformed, "tokenizer") { $0[$0.indexOffset + 8] = .max - 7 },
        Change("template's length overflows", .malformed, "chatTemplate") { $0[$0.indexOffset + 24] = 1 << 63 },
        Change("fewer records", .malformed, "index.recordCount") { $0[$0.indexOffset + 32] -= 1 },
        Change("more records", .malformed, "index.recordCount") { $0[$0.indexOffset + 32] += 1 },
        Change("record count overflows", .malformed, "index.recordCount") { $0[$0.indexOffset + 32] |= 1 << 58 },
        Change("size of records", .unsupported, "index.recordByteCount") { $0.bytes[$0.indexOffset + 40] = 128 },
        Change("reserved bytes of the index", .malformed, "index.reserved") { $0.bytes[$0.indexOffset + 50] = 1 },
        Change("template that isn't UTF-8", .malformed, "chatTemplate") {
            $0.bytes[$0.recordsOffset - 10] = 0xFF
        },
        Change("padding", .malformed, "chatTemplate.padding") { $0.bytes[$0.recordsOffset - 1] = 1 },

        Change("kind", .unsupported, "record.kind") { $0.bytes[$0.record(0)] = 4 },
        Change("kind 0", .unsupported, "record.kind") { $0.bytes[$0.record(0)] = 0 },
        Change("codec", .unsupported, "record.codec") { $0.bytes[$0.firstExpert + Field.codec] = 2 },
        Change("packed tensor", .unsupported, "codec") { $0.bytes[$0.record(0) + Field.codec] = 1 },
        Change("role", .unsupported, "record.role") { $0.bytes[$0.record(0) + Field.role] = 99 },
        Change("format", .unsupported, "record.format") { $0.bytes[$0.record(2) + Field.format] = 6 },
        Change("table", .unsupported, "record.table") { $0.bytes[$0.record(2) + Field.table] = 3 },
        Change("table of a format without one", .malformed, "table") { $0.bytes[$0.record(2) + Field.table] = 1 },
        Change("layout", .unsupported, "record.layout") { $0.bytes[$0.record(2) + Field.layout] = 2 },
        Change("other layout", .wrongShape, "output.head.layout") { $0.bytes[$0.record(2) + Field.layout] = 0 },
        Change("panels of the embedding", .wrongShape, "token.embedding.layout") {
            $0.bytes[$0.record(0) + Field.layout] = 1
        },
        Change("other format", .wrongShape, "output.head.byteCount") { $0.bytes[$0.record(2) + Field.format] = 5 },
        Change("bf16 norm", .wrongShape, "output.norm.format") { $0.bytes[$0.record(1) + Field.format] = 2 },
        Change("scale format", .unsupported, "record.scaleFormat") { $0.bytes[$0.record(0) + 15] = 2 },
        Change("scale format of a format without scales", .malformed, "output.norm.scaleFormat") {
            $0.bytes[$0.record(1) + 15] = 1
        },
        Change("scale format of gate and up", .unsupported, "record.scaleFormat") { $0.bytes[$0.firstExpert + 2] = 2 },
        Change("scale format of down", .unsupported, "record.downScaleFormat") { $0.bytes[$0.firstExpert + 3] = 2 },
        Change("format of down", .unsupported, "record.downFormat") { $0.bytes[$0.firstExpert + Field.layout] = 0 },
        Change("table of down", .malformed, "table") { $0.bytes[$0.firstExpert + Field.downTable] = 1 },
        Change("expert number of a tensor", .malformed, "expert") { $0.bytes[$0.record(0) + Field.expert] = 0 },

        Change("rows", .wrongShape, "token.embedding.shape") { $0[$0.record(0) + Field.rows] = 25 },
        Change("rows overflow", .wrongShape, "token.embedding.shape") { $0[$0.record(0) + Field.rows] = .max },
        Change("columns", .wrongShape, "token.embedding.shape") { $0[$0.record(0) + Field.columns] = 0 },
        Change("expert's shape", .wrongShape, "layers.1.experts.0.shape") { $0[$0.firstExpert + Field.rows] = 64 },
        Change("offset in the superblock", .badRange, "token.embedding.offset") {
            $0[$0.record(0) + Field.offset] = 64
        },
        Change("offset at the index", .badRange, "token.embedding.offset") {
            $0[$0.record(0) + Field.offset] = UInt64($0.indexOffset)
        },
        Change("offset overflows", .badRange, "token.embedding.offset") {
            $0[$0.record(0) + Field.offset] = .max - 63
        },
        Change("offset not aligned", .badRange, "token.embedding.offset") { $0[$0.record(0) + Field.offset] += 32 },
        Change("blob not aligned", .badRange, "layers.1.experts.0.offset") { $0[$0.firstExpert + Field.offset] += 64 },
        Change("two tensors in one place", .badRange, "offset") {
            $0[$0.record(2) + Field.offset] = $0[$0.record(0) + Field.offset]
        },
        Change("two blobs in one place", .badRange, "experts.1.offset") {
            $0[$0.firstExpert + 64 + Field.offset] = $0[$0.firstExpert + Field.offset]
        },
        Change("a hole", .badRange, "offset") { image in
            let last = image.firstExpert - 64
            image[last + Field.offset] += 64
        },
        Change("stored length 0", .badRange, "storedByteCount") { $0[$0.record(0) + Field.storedByteCount] = 0 },
        Change("stored length overflows", .badRange, "storedByteCount") {
            $0[$0.record(0) + Field.storedByteCount] = .max
        },
        Change("stored length into the index", .badRange, "storedByteCount") {
            $0[$0.record(0) + Field.storedByteCount] = UInt64($0.bytes.count)
        },
        Change("stored length", .wrongShape, "storedByteCount") { $0[$0.record(0) + Field.storedByteCount] -= 1 },
        Change("length", .wrongShape, "byteCount") { $0[$0.record(0) + Field.byteCount] += 1 },
        Change("packed length of a stored blob", .wrongShape, "storedByteCount") {
            $0[$0.firstExpert + Field.storedByteCount] -= 64
        },
        Change("a blob that unpacks 300-fold", .malformed, "storedByteCount") {
            $0[$0.firstExpert + 64 + Field.storedByteCount] = 5
        },
        Change("layer", .missing, "layers.0.attention.norm") { $0.bytes[$0.record(3) + Field.layer] = 1 },
        Change("layer of the model's tensor", .missing, "token.embedding") {
            for place in 0..<4 { $0.bytes[$0.record(0) + Field.layer + place] = 0 }
        },
        Change("expert twice", .duplicate, "layers.1.experts.0") { $0.bytes[$0.firstExpert + 64 + Field.expert] = 0 },
        Change("expert missing", .missing, "layers.1.experts.1") { $0.bytes[$0.firstExpert + 64 + Field.expert] = 2 },
        Change("expert of a dense layer", .unexpected, "layers.0.experts.0") {
            $0.bytes[$0.firstExpert + Field.layer] = 0
        },
        Change("tensor twice", .duplicate, "token.embedding") { $0.bytes[$0.record(1) + Field.role] = 1 },
        Change("role of another attention", .unexpected, "layers.0.attention.query") {
            $0.bytes[$0.record(4) + Field.role] = 17
        },
    ]

    @Test(arguments: changes)
    func aSealedButWrongFileIsRefusedByName(change: Change) throws {
        var image = try ContainerImage(SmallModel())
        change.apply(&image)
        image.seal()
        let file = try ScratchFile()
        try file.replace(with: image.bytes)
        let error = try #require(throws: ContainerError.self) { try ContainerReader(path: file.path) }
        #expect(error.code == change.code, "\(error)")
        #expect(error.field.hasSuffix(change.field), "\(error)")
        #expect(error.offset != nil)
        #expect(error.description.contains("expected") && error.description.contains("found"))
    }

    @Test(arguments: [
        (#""hiddenSize":32"#, #""hiddenSize":0"#), (#""hiddenSize":32"#, #""hiddenSize":-32"#),
        (#""hiddenSize":32"#, #""hiddenSize":9223372036854775807"#),
        (#""hiddenSize":32"#, #""hiddenSize":18446744073709551615"#),
        (#""hiddenSize":32"#, #""hiddenSize":1e400"#), (#""hiddenSize":32"#, #""hiddenSize":1.5"#),
        (#""hiddenSize":32"#, #""hiddenSize":null"#), (#""hiddenSize":32"#, #""hiddensize":32"#),
        (#""hiddenSize":32"#, #""hiddenSize":33"#),
        (#""vocabularySize":24"#, #""vocabularySize":-9223372036854775808"#),
        (#""vocabularySize":24"#, #""vocabularySize":16777216"#),
        (#""layerCount":2"#, #""layerCount":3"#), (#""layerCount":2"#, #""layerCount":65536"#),
        (#""layerCount":2"#, #""layerCount":-1"#),
        (#""sparseLayers":[false,true]"#, #""sparseLayers":[]"#),
        (#""sparseLayers":[false,true]"#, #""sparseLayers":[false,true,true]"#),
        (#""sparseLayers":[false,true]"#, #""sparseLayers":[true,true]"#),
        (#""sparseLayers":[false,true]"#, #""sparseLayers":[false,false]"#),
        (#""contextLength":64"#, #""contextLength":0"#),
        (#""normEpsilon":"#, #""normEpsilon":0,"x":"#), (#""normEpsilon":"#, #""normEpsilon":-1e-6,"x":"#),
        (#""normEpsilon":"#, #""normEpsilon":1e39,"x":"#), (#""normEpsilon":"#, #""normEpsilon":"NaN","x":"#),
        (#""softmaxScale":0.25"#, #""softmaxScale":0"#), (#""softmaxScale":0.25"#, #""softmaxScale":1e300"#),
        (#""theta":10000"#, #""theta":-1"#), (#""factor":4"#, #""factor":0"#), (#""magnitude":1"#, #""magnitude":0"#),
        (#""headCount":2"#, #""headCount":3"#), (#""headCount":2"#, #""headCount":4611686018427387904"#),
        (#""ropeHeadSize":8"#, #""ropeHeadSize":7"#), (#""ropeHeadSize":8"#, #""ropeHeadSize":0"#),
        (#""queryLatentRank":32"#, #""queryLatentRank":0"#), (#""queryLatentRank":32"#, #""queryLatentRank":null"#),
        (#""keyValueLatentRank":32"#, #""keyValueLatentRank":1048577"#),
        (#""denseIntermediateSize":64"#, #""denseIntermediateSize":0"#),
        (#""routedExpertCount":3"#, #""routedExpertCount":4"#), (#""routedExpertCount":3"#, #""routedExpertCount":0"#),
        (#""routedExpertCount":3"#, #""routedExpertCount":65536"#),
        (#""routedExpertCount":3"#, #""routedExpertCount":2"#),
        (#""expertsPerToken":2"#, #""expertsPerToken":4"#), (#""expertsPerToken":2"#, #""expertsPerToken":0"#),
        (#""layerCount":2"#, #""layerCount":2,"layerCount":2"#),
        (#""groupCount":1"#, #""groupCount":2"#), (#""groupCount":1"#, #""groupCount":0"#),
        (#""groupsPerToken":1"#, #""groupsPerToken":2"#), (#""groupCount":1"#, #""groupCount":3"#),
        (#""weightScale":2.5"#, #""weightScale":-2.5"#),
        (#""scoring":"sigmoid""#, #""scoring":"tanh""#), (#""activation":"silu""#, #""activation":"gelu""#),
        (#""pairing":"interleaved""#, #""pairing":"none""#), (#""latent":"#, #""grouped":"#),
        (#""beginToken":0"#, #""beginToken":24"#), (#""beginToken":0"#, #""beginToken":-1"#),
        (#""endTokens":[1]"#, #""endTokens":[1,24]"#),
        (#""hasSelectionBias":true"#, #""hasSelectionBias":false"#),
        (#""sharedIntermediateSize":32"#, #""sharedIntermediateSize":0"#),
        (#""family":"small""#, #""family":"\u001b[2J""#),
        (#""topP":0.95"#, #""topP":1.5"#), (#""temperature":0.6"#, #""temperature":-1"#),
        (#""byteCount":4711"#, #""byteCount":-1"#), (#""0000000000000abc""#, #""abc""#),
        ("{", "["), ("}", ""), (":", "\u{0}"),
    ])
    func aSenselessConfigurationIsRefused(find: String, replacement: String) throws {
        var image = try ContainerImage(SmallModel())
        var json = image.metadata
        json.replaceSubrange(try #require(json.firstRange(of: find)), with: replacement)
        image.replaceMetadata(with: Array(json.utf8))
        try expectRefusal(&image)
    }

    @Test func nestingIsBoundedBeforeItIsParsed() throws {
        for json in [
            String(repeating: "[", count: 500_000), String(repeating: #"{"a":"#, count: 100_000),
            String(repeating: "[", count: 65) + String(repeating: "]", count: 65),
        ] {
            var image = try ContainerImage(SmallModel())
            image.replaceMetadata(with: Array(json.utf8))
            let error = try expectRefusal(&image)
            #expect(error.expected == "at most 64 levels")
        }
    }

    /// Brackets in strings are no nesting.
    @Test func textMayHoldBrackets() throws {
        var model = SmallModel()
        model.recipe.tool = String(repeating: #"[\"{"#, count: 60)
        let image = try ContainerImage(model)
        let file = try ScratchFile()
        try file.replace(with: image.bytes)
        #expect(try ContainerReader(path: file.path).metadata.recipe == model.recipe)
    }

    @Test func metadataIsBounded() throws {
        var image = try ContainerImage(SmallModel())
        let filler = String(repeating: " ", count: 1 << 20)
        image.replaceMetadata(with: Array((image.metadata + filler).utf8))
        #expect(try expectRefusal(&image).code == .tooLarge)
    }

    @discardableResult
    private func expectRefusal(_ image: inout ContainerImage) throws -> ContainerError {
        image.seal()
        let file = try ScratchFile()
        try file.replace(with: image.bytes)
        return try #require(throws: ContainerError.self) { try ContainerReader(path: file.path) }
    }
}

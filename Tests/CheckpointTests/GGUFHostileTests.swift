import Checkpoint
import Container
import FoundationEssentials
import GGUFSupport
import TestSupport
import Testing

@Suite("GGUF files that say what can't be") struct GGUFHostileTests {
    private let directory: TemporaryDirectory
    private var path: String { "\(directory.path)/model.gguf" }

    init() throws { directory = try TemporaryDirectory() }

    private func failure(_ bytes: [UInt8]) throws -> CheckpointError {
        try Data(bytes).write(to: URL(filePath: path))
        let error = try #require(throws: CheckpointError.self) { try Checkpoint(path: path) }
        #expect(error.path == path)
        return error
    }

    struct Damage: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var code: CheckpointError.Code
        var place: String?
        var apply: @Sendable (inout GGUFImage) -> Void

        init(
            _ description: String, _ code: CheckpointError.Code, _ place: String? = nil,
            _ apply: @escaping @Sendable (inout GGUFImage) -> Void
        ) {
            testDescription = description
            self.code = code
            self.place = place
            self.apply = apply
        }
    }

    private static let down = "blk.1.ffn_down_exps.weight"
    private static let query = "blk.0.attn_q.weight"

    static let damages = [
        Damage("another magic", .malformedHeader) { $0.magic = "GGML" },
        Damage("the first version", .malformedHeader) { $0.version = 1 },
        Damage("the other byte order", .malformedHeader) { $0.version = 3 << 24 },
        Damage("a key twice", .malformedHeader, "general.type") { $0.values.append(("general.type", .text("model"))) },
        Damage("a value of no type", .malformedHeader, "x") { $0["x"] = .raw(kind: 13, []) },
        Damage("a list of lists", .malformedHeader, "x") { $0["x"] = .raw(kind: 9, little(UInt32(9))) },
        Damage("a list that is too long", .malformedHeader) {
            $0["x"] = .raw(kind: 9, little(UInt32(0)) + little(UInt64.max / 2))
        },
        Damage("text that is too long", .malformedHeader) { $0["x"] = .raw(kind: 8, little(UInt64(1) << 40)) },
        Damage("a number beyond 63 bits", .malformedHeader, "x") { $0["x"] = .raw(kind: 10, little(UInt64.max)) },
        Damage("an alignment of 48", .malformedHeader, "general.alignment") {
            $0["general.alignment"] = .uint32(48)
        },
        Damage("an alignment of 0", .malformedHeader, "general.alignment") { $0["general.alignment"] = .uint32(0) },
        Damage("a tensor twice", .malformedHeader, down) { $0.tensors += $0.tensors.filter { $0.name == down } },
        Damage("a type that isn't known", .malformedHeader, down) { $0[tensor: down]?.kind = 99 },
        Damage("a rank of 5", .malformedHeader, down) { $0[tensor: down]?.dimensions = [32, 2, 2, 2, 2] },
        Damage("no dimension", .malformedHeader, down) { $0[tensor: down]?.dimensions = [] },
        Damage("an extent of 0", .malformedHeader, down) { $0[tensor: down]?.dimensions = [32, 0] },
        Damage("a size that overflows", .malformedHeader, down) { $0[tensor: down]?.dimensions = [1 << 40, 1 << 40] },
        Damage("blocks that don't fit rows", .malformedHeader, query) {
            $0[tensor: query]?.kind = 8
            $0[tensor: query]?.dimensions = [48, 64]
        },
        Damage("data out of alignment", .malformedHeader, down) { $0[tensor: down]?.offsetError = 8 },
        Damage("data outside the file", .malformedHeader, down) { $0[tensor: down]?.offsetError = 1 << 30 },
        Damage("data far outside the file", .malformedHeader, down) { $0[tensor: down]?.offsetError = 1 << 62 },
        Damage("data that overlap", .malformedHeader) { $0[tensor: down]?.offsetError = -32 },
        Damage("another kind of file", .unsupportedFamily, "general.type") { $0["general.type"] = .text("adapter") },
        Damage("another architecture", .unsupportedFamily, "general.architecture") {
            $0["general.architecture"] = .text("mamba")
        },
        Damage("no architecture", .unsupportedFamily, "general.architecture") { $0["general.architecture"] = nil },
        Damage("an unknown key", .configuration, "deepseek2.logit_scale") {
            $0["deepseek2.logit_scale"] = .float32(2)
        },
        Damage("a missing key", .configuration, "rms_norm_eps") {
            $0["deepseek2.attention.layer_norm_rms_epsilon"] = nil
        },
        Damage("a value out of range", .configuration, "deepseek2.context_length") {
            $0["deepseek2.context_length"] = .int32(-4)
        },
        Damage("another type of value", .configuration, "deepseek2.embedding_length") {
            $0["deepseek2.embedding_length"] = .text("64")
        },
        Damage("no layers", .configuration, "deepseek2.block_count") { $0["deepseek2.block_count"] = .uint32(0) },
        Damage("more rotated than there is", .configuration, "deepseek2.attention.key_length_mla") {
            $0["deepseek2.rope.dimension_count"] = .uint32(32)
        },
        Damage("a scoring that isn't known", .configuration, "deepseek2.expert_gating_func") {
            $0["deepseek2.expert_gating_func"] = .uint32(3)
        },
        Damage("scaling of another kind", .configuration, "deepseek2.rope.scaling.type") {
            $0["deepseek2.rope.scaling.type"] = .text("longrope")
        },
        Damage("a factor that isn't a number", .configuration, "deepseek2.rope.scaling.factor") {
            $0["deepseek2.rope.scaling.factor"] = .float32(.nan)
        },
        Damage("another vocabulary", .configuration, "deepseek2.vocab_size") {
            $0["deepseek2.vocab_size"] = .uint32(255)
        },
        Damage("a begin that isn't a token", .configuration, "tokenizer.ggml.bos_token_id") {
            $0["tokenizer.ggml.bos_token_id"] = .uint32(256)
        },
        Damage("more experts than there are", .wrongTensor, "blk.1.ffn_gate_inp.weight") {
            $0["deepseek2.expert_count"] = .uint32(9)
        },
        Damage("a stack of another shape", .wrongTensor, down) { $0[tensor: down]?.dimensions = [64, 32, 8] },
        Damage("no stack", .missingTensor, down) { $0[tensor: down] = nil },
        Damage("values without keys", .missingTensor, "blk.2.attn_kv_b.weight") {
            $0[tensor: "blk.2.attn_k_b.weight"] = nil
        },
        Damage("keys without values", .missingTensor, "blk.2.attn_v_b.weight") {
            $0[tensor: "blk.2.attn_v_b.weight"] = nil
        },
        Damage("keys of another shape", .wrongTensor, "blk.2.attn_k_b.weight") {
            $0[tensor: "blk.2.attn_k_b.weight"]?.dimensions = [32, 16, 4]
        },
        Damage("no embedding", .missingTensor, "token_embd.weight") { $0[tensor: "token_embd.weight"] = nil },
        Damage("a tensor that isn't known", .unexpectedTensor, "blk.0.attn_sinks.weight") {
            $0.tensors.append(.init(name: "blk.0.attn_sinks.weight", dimensions: [1], kind: 0, bytes: [0, 0, 0, 0]))
        },
        Damage("parts that aren't there", .malformedIndex) { $0["split.count"] = .uint32(70000) },
    ]

    @Test(arguments: damages) func isRefusedWithItsPlace(damage: Damage) throws {
        var image = try GGUFFixture("deepseek-v2-lite", .f32).image
        damage.apply(&image)
        let error = try failure(image.bytes)
        #expect(error.code == damage.code, "\(error)")
        if let place = damage.place { #expect(error.tensor == place || error.key == place, "\(error)") }
    }

    /// Q8_1, whose blocks fit the rows.
    @Test func aTypeThatCannotBeReadIsCalledByName() throws {
        var image = try GGUFFixture("llama", .f32).image
        image[tensor: "blk.0.ffn_up.weight"]?.kind = 9
        let error = try failure(image.bytes)
        #expect(error.code == .wrongTensor && error.found == "Q8_1")
        #expect(error.expected?.contains("Q8_0") == true)
    }

    @Test func everyCutIsNoticed() throws {
        let image = try GGUFFixture("llama", .f32).image
        let bytes = image.bytes
        let header = image.header.count
        for count in Array(stride(from: 0, to: header, by: 5)) + [header, bytes.count / 2, bytes.count - 64] {
            #expect(try failure(Array(bytes[..<count])).code == .malformedHeader, "\(count)")
        }
    }

    @Test(arguments: [BlockWriting.f32, .bf16, .q8_0, .q4_0]) func valuesThatAreNotFiniteAreNamed(
        type: BlockWriting
    ) throws {
        var image = try GGUFFixture("mixtral", type).image
        let name = "blk.2.ffn_down_exps.weight"
        // Expert 5, row 40, the second of three groups: the value, or the scale of its block.
        let rowByteCount = try #require(image[tensor: name]).bytes.count / (8 * 64)
        let place = (5 * 64 + 40) * rowByteCount + rowByteCount / 3
        let bits: [UInt8] =
            switch type {
            case .f32: little(Float.infinity.bitPattern)
            case .bf16: [0x80, 0x7F]
            default: [0x00, 0x7C]
            }
        image[tensor: name]?.bytes.replaceSubrange(place..<place + bits.count, with: bits)
        try image.write(to: path)
        let expert = try #require(try Checkpoint(path: path).experts.first { $0.key == ExpertKey(layer: 2, expert: 5) })
        #expect(throws: Never.self) { try expert.down.values(rows: 0..<40) }
        let error = #expect(throws: CheckpointError.self) { try expert.down.values(rows: 32..<64) }
        #expect(error?.code == .notFinite && error?.tensor == name)
        #expect(error?.found?.contains("row 40, column 3") == true, "\(String(describing: error))")
    }

    @Test func aFileThatIsNeitherIsRefused() throws {
        #expect(try failure(Array("not a model".utf8)).code == .malformedHeader)
        #expect(try failure([]).code == .malformedHeader)
    }
}

import Checkpoint
import Compute
import Container
import FoundationEssentials
import TestSupport
import Testing

/// compressed-tensors' 4-bit weights, against a reading that shares no code with it.
@Suite("Packed 4-bit weights")
struct PackedWeightTests {
    private static let fixture = "kimi-k2-int4"
    private static let expert = "model.layers.1.mlp.experts.0.down_proj.weight"

    @Test func everyCodeIsScaledByItsGroup() throws {
        let directory = Fixtures.checkpoint(Self.fixture)
        let checkpoint = try Checkpoint(directory: directory)
        let file = try SafetensorsFile(path: "\(directory)/model.safetensors")
        var count = 0
        for matrix in checkpoint.experts.flatMap({ [$0.gate, $0.up, $0.down] }) {
            let words = try file.integers(of: try #require(file.tensor(named: matrix.name + "_packed")))
            let scales = try file.floats(of: try #require(file.tensor(named: matrix.name + "_scale")))
            let expected = (0..<matrix.rows * matrix.columns).map { index in
                Float(UInt32(truncatingIfNeeded: words[index / 8]) >> (index % 8 * 4) & 15) - 8
            }
            let actual = try matrix.values(rows: 0..<matrix.rows)
            #expect(actual == zip(expected.indices, expected).map { $0.1 * scales[$0.0 / 32] })
            #expect(matrix.importFormat == ImportFormat(format: .q4, scaleFormat: .bf16))
            #expect(matrix.byteCount == matrix.weightCount / 2)
            count += 1
        }
        #expect(count == 2 * 16 * 3)
        #expect(checkpoint.tensors.allSatisfy { $0.matrix.importFormat == nil })
    }

    @Test func anyRowsCanBeReadAlone() throws {
        let matrix = try #require(try Checkpoint(directory: Fixtures.checkpoint(Self.fixture)).experts.last).down
        let all = try matrix.values(rows: 0..<64)
        for range in [0..<1, 31..<33, 8..<24, 63..<64, 8..<8] {
            #expect(try matrix.values(rows: range) == Array(all[range.lowerBound * 32..<range.upperBound * 32]))
        }
    }

    struct Damage: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var code: CheckpointError.Code
        var tensor: String
        var apply: @Sendable (inout EditedCheckpoint) -> Void
    }

    static let damages = [
        Damage(testDescription: "no codes", code: .missingTensor, tensor: expert) {
            $0.tensors[expert + "_packed"] = nil
        },
        Damage(testDescription: "no scales", code: .missingTensor, tensor: expert + "_scale") {
            $0.tensors[expert + "_scale"] = nil
        },
        Damage(testDescription: "no shape", code: .missingTensor, tensor: expert + "_shape") {
            $0.tensors[expert + "_shape"] = nil
        },
        Damage(testDescription: "codes of another shape", code: .wrongTensor, tensor: expert + "_packed") {
            $0.tensors[expert + "_packed"]?.shape = [32, 8]
        },
        Damage(testDescription: "codes of another type", code: .wrongTensor, tensor: expert + "_packed") {
            $0.tensors[expert + "_packed"]?.element = .f32
        },
        Damage(testDescription: "scales of another shape", code: .wrongTensor, tensor: expert + "_scale") {
            $0.tensors[expert + "_scale"]?.shape = [1, 64]
        },
        Damage(testDescription: "a shape that differs", code: .wrongTensor, tensor: expert + "_shape") {
            $0.tensors[expert + "_shape"]?.bytes[0] = 32
        },
        Damage(testDescription: "a shape of three numbers", code: .wrongTensor, tensor: expert + "_shape") {
            $0.tensors[expert + "_shape"]?.shape = [3]
            $0.tensors[expert + "_shape"]?.bytes += [0, 0, 0, 0]
        },
        Damage(testDescription: "zero points", code: .unexpectedTensor, tensor: expert + "_zero_point") {
            $0.tensors[expert + "_zero_point"] = .init(element: .i32, shape: [1], bytes: [0, 0, 0, 0])
        },
    ]

    @Test(arguments: damages) func whatDoesNotFitIsNamed(damage: Damage) throws {
        var checkpoint = try EditedCheckpoint(Self.fixture)
        damage.apply(&checkpoint)
        let failure = try checkpoint.failure()
        #expect(failure?.code == damage.code && failure?.tensor == damage.tensor, "\(String(describing: failure))")
    }

    @Test func aScaleThatIsNotFiniteIsFoundWhereItStands() throws {
        var checkpoint = try EditedCheckpoint(Self.fixture)
        // Row 40 of 64, one group a row.
        checkpoint.tensors[Self.expert + "_scale"]?.bytes.replaceSubrange(80..<82, with: [0x80, 0x7F])
        let directory = try TemporaryDirectory()
        try checkpoint.write(to: directory)
        let matrix = try #require(try Checkpoint(directory: directory.path).experts.first).down
        #expect(throws: Never.self) { try matrix.values(rows: 0..<40) }
        let error = #expect(throws: CheckpointError.self) { try matrix.values(rows: 32..<64) }
        #expect(error?.code == .notFinite && error?.tensor == Self.expert + "_scale")
        #expect(error?.found?.contains("row 40, group 0") == true)
    }

    @Test(arguments: [
        ("\"num_bits\": 4", "\"num_bits\": 8", "num_bits"),
        ("\"group_size\": 32", "\"group_size\": 128", "group_size"),
        ("\"symmetric\": true", "\"symmetric\": false", "symmetric"),
        ("\"strategy\": \"group\"", "\"strategy\": \"channel\"", "strategy"),
        ("\"type\": \"int\"", "\"type\": \"float\"", "type"),
        ("\"type\": \"int\"", "\"type\": \"int\", \"actorder\": \"group\"", "actorder"),
        ("\"type\": \"int\"", "\"type\": \"int\", \"zero\": 1", "zero"),
    ])
    func packingOfAnotherKindIsRefused(old: String, new: String, key: String) throws {
        var checkpoint = try EditedCheckpoint(Self.fixture)
        checkpoint.replace(old, with: new)
        let failure = try checkpoint.failure()
        #expect(failure?.code == .configuration)
        #expect(failure?.key == "quantization_config.config_groups.group_0.weights.\(key)")
    }

    @Test func quantisedActivationsAreRefused() throws {
        var checkpoint = try EditedCheckpoint(Self.fixture)
        checkpoint.replace("\"targets\":", with: "\"input_activations\": {\"num_bits\": 8}, \"targets\":")
        #expect(try checkpoint.failure()?.key == "quantization_config.config_groups.group_0.input_activations")
    }
}

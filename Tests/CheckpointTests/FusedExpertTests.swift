import Checkpoint
import Compute
import Container
import GGUFSupport
import TestSupport
import Testing

/// gpt-oss' experts, which share tensors, as floats and as MXFP4, against readings that share no code with it.
@Suite("Experts that share a tensor")
struct FusedExpertTests {
    private static let blocks = "model.layers.1.mlp.experts.gate_up_proj_blocks"
    private static let scales = "model.layers.1.mlp.experts.down_proj_scales"

    /// Values in the order [row, column] from a function of both.
    private func values(_ matrix: SourceMatrix, _ value: (Int, Int) -> Float) -> [Float] {
        (0..<matrix.rows).flatMap { row in (0..<matrix.columns).map { value(row, $0) } }
    }

    @Test func floatsAreTransposedAndTakeTurns() throws {
        let directory = Fixtures.checkpoint("gpt-oss")
        let file = try SafetensorsFile(path: "\(directory)/model.safetensors")
        let checkpoint = try Checkpoint(directory: directory)
        #expect(checkpoint.experts.count == 32)
        for expert in checkpoint.experts {
            let prefix = "model.layers.\(expert.key.layer).mlp.experts."
            let gateUp = try file.floats(of: try #require(file.tensor(named: prefix + "gate_up_proj")))
            let down = try file.floats(of: try #require(file.tensor(named: prefix + "down_proj")))
            let start = expert.key.expert
            // Widths are 64 all over, so that [experts, columns, rows] has the strides 64 · 128 and 64 · 64.
            #expect(
                try expert.gate.values(rows: 0..<64)
                    == values(expert.gate) { gateUp[start * 8192 + $1 * 128 + 2 * $0] })
            #expect(
                try expert.up.values(rows: 0..<64)
                    == values(expert.up) { gateUp[start * 8192 + $1 * 128 + 2 * $0 + 1] })
            #expect(try expert.down.values(rows: 0..<64) == values(expert.down) { down[start * 4096 + $1 * 64 + $0] })
        }
        for tensor in checkpoint.tensors where tensor.requirement.key.role == .expertUpBias {
            let biases = try file.floats(of: try #require(file.tensor(named: tensor.matrix.name)))
            #expect(try tensor.matrix.values(rows: 0..<8) == values(tensor.matrix) { biases[$0 * 128 + 2 * $1 + 1] })
        }
    }

    @Test func microscaledCodesAreSignsExponentsAndMantissas() throws {
        let directory = Fixtures.checkpoint("gpt-oss-mxfp4")
        let file = try SafetensorsFile(path: "\(directory)/model.safetensors")
        func bytes(_ name: String) throws -> [UInt8] {
            let tensor = try #require(file.tensor(named: name))
            return try file.file.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
        }
        /// By the definition: 1 sign, 2 exponent and 1 mantissa bit, bias 1, and 2^(e − 127).
        func value(_ code: UInt8, _ exponent: UInt8) -> Float {
            let (bits, mantissa) = (Int(code >> 1 & 3), Float(code & 1))
            let magnitude =
                bits == 0 ? mantissa / 2 : Float(sign: .plus, exponent: bits - 1, significand: 1 + mantissa / 2)
            return (code & 8 == 0 ? magnitude : -magnitude)
                * Float(sign: .plus, exponent: Int(exponent) - 127, significand: 1)
        }
        for expert in try Checkpoint(directory: directory).experts {
            let prefix = "model.layers.\(expert.key.layer).mlp.experts."
            for (matrix, name, rowOf) in [
                (expert.gate, "gate_up_proj", { expert.key.expert * 128 + 2 * $0 }),
                (expert.up, "gate_up_proj", { expert.key.expert * 128 + 2 * $0 + 1 }),
                (expert.down, "down_proj", { expert.key.expert * 64 + $0 }),
            ] as [(SourceMatrix, String, (Int) -> Int)] {
                let (blocks, scales) = (try bytes(prefix + name + "_blocks"), try bytes(prefix + name + "_scales"))
                let expected = values(matrix) { row, column in
                    let byte = blocks[rowOf(row) * 32 + column / 2]
                    return value(column % 2 == 0 ? byte & 15 : byte >> 4, scales[rowOf(row) * 2 + column / 32])
                }
                #expect(try matrix.values(rows: 0..<64) == expected)
                #expect(matrix.importFormat == ImportFormat(format: .q4, table: .e2m1, scaleFormat: .bf16))
                #expect(matrix.byteCount == matrix.weightCount / 2)
            }
        }
    }

    @Test(arguments: ["gpt-oss", "gpt-oss-mxfp4"])
    func anyRowsCanBeReadAlone(fixture: String) throws {
        let expert = try #require(try Checkpoint(directory: Fixtures.checkpoint(fixture)).experts.last)
        for matrix in [expert.gate, expert.up, expert.down] {
            let all = try matrix.values(rows: 0..<64)
            for range in [0..<1, 31..<33, 8..<24, 63..<64, 8..<8] {
                #expect(try matrix.values(rows: range) == Array(all[range.lowerBound * 64..<range.upperBound * 64]))
            }
        }
    }

    /// Wide enough for several blocks of columns, and rows that are read with what is between them and without.
    @Test func transposedFloatsAreReadInBlocks() throws {
        var edited = try EditedCheckpoint("gpt-oss")
        let width = 2048
        edited.replace("\"intermediate_size\": 64", with: "\"intermediate_size\": \(width)")
        edited.replace("\"num_hidden_layers\": 4", with: "\"num_hidden_layers\": 1")
        edited.replace("\"num_local_experts\": 8", with: "\"num_local_experts\": 1")
        edited.replace("\"num_experts_per_tok\": 4", with: "\"num_experts_per_tok\": 1")
        edited.configuration = edited.configuration.replacing(
            /"layer_types": \[[^\]]*\]/, with: "\"layer_types\": [\"full_attention\"]")
        edited.tensors = edited.tensors.filter { name, _ in
            !(1...3).contains { name.hasPrefix("model.layers.\($0).") }
        }
        func put(_ name: String, _ shape: [Int]) {
            let count = shape.reduce(1, *)
            edited.tensors["model.layers.0.mlp.\(name)"] = .init(
                element: .bf16, shape: shape,
                bytes: (0..<count).flatMap { little(UInt16($0 % 251 + 0x3F00)) })
        }
        put("experts.gate_up_proj", [1, 64, 2 * width])
        put("experts.down_proj", [1, width, 64])
        put("experts.gate_up_proj_bias", [1, 2 * width])
        put("experts.down_proj_bias", [1, 64])
        put("router.weight", [1, 64])
        put("router.bias", [1])
        let directory = try TemporaryDirectory()
        try edited.write(to: directory)
        let expert = try #require(try Checkpoint(directory: directory.path).experts.first)
        func value(_ place: Int) -> Float { NumberFormat.float(bf16: UInt16(place % 251 + 0x3F00)) }
        for (turn, matrix) in [expert.gate, expert.up].enumerated() {
            #expect(matrix.isTransposed)
            for ranges in [[0..<width], [0..<8], [8..<16, 2040..<2048], [0..<1, 1..<2, 700..<1100]] {
                let rows = Array(ranges.joined())
                var values = [Float](repeating: .nan, count: rows.count * 64)
                try values.withUnsafeMutableBufferPointer { try matrix.readRows(ranges, into: $0) }
                let expected = rows.flatMap { row in (0..<64).map { value($0 * 2 * width + 2 * row + turn) } }
                #expect(values == expected, "\(ranges)")
            }
        }
        #expect(
            try expert.down.values(rows: 0..<64)
                == (0..<64).flatMap { row in (0..<width).map { value($0 * 64 + row) } })
    }

    /// The least scales are subnormal in bf16, and the greatest keep 6 times themselves finite.
    @Test func everyScaleIsExactInSixteenBits() throws {
        var edited = try EditedCheckpoint("gpt-oss-mxfp4")
        for exponent in UInt8(0)...252 { edited.tensors[Self.scales]?.bytes[Int(exponent)] = exponent }
        let directory = try TemporaryDirectory()
        try edited.write(to: directory)
        for expert in try Checkpoint(directory: directory.path).experts where expert.key.layer == 1 {
            let matrix = expert.down
            var codes = [UInt8](repeating: 0, count: matrix.weightCount)
            var scales = [UInt16](repeating: 0, count: matrix.weightCount / 32)
            try codes.withUnsafeMutableBufferPointer { codes in
                try scales.withUnsafeMutableBufferPointer { scales in
                    try matrix.readPacked(0..<matrix.rows, codes: codes, scales: scales)
                }
            }
            let imported = codes.indices.map {
                Float(CodeTable.e2m1.values[Int(codes[$0])]) * NumberFormat.float(bf16: scales[$0 / 32])
            }
            #expect(imported == (try matrix.values(rows: 0..<matrix.rows)))
            guard expert.key.expert == 0 else { continue }
            for (group, bits) in scales.enumerated() {
                #expect(NumberFormat.float(bf16: bits) == Float(sign: .plus, exponent: group - 128, significand: 1))
            }
        }
    }

    struct Damage: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var code: CheckpointError.Code
        var tensor: String
        var fixture = "gpt-oss-mxfp4"
        var apply: @Sendable (inout EditedCheckpoint) -> Void
    }

    static let damages = [
        Damage(testDescription: "no blocks", code: .missingTensor, tensor: "model.layers.1.mlp.experts.gate_up_proj") {
            $0.tensors[blocks] = nil
        },
        Damage(testDescription: "no scales", code: .missingTensor, tensor: scales) { $0.tensors[scales] = nil },
        Damage(testDescription: "blocks of another shape", code: .wrongTensor, tensor: blocks) {
            $0.tensors[blocks]?.shape = [8, 128, 1, 32]
        },
        Damage(testDescription: "scales of another shape", code: .wrongTensor, tensor: scales) {
            $0.tensors[scales]?.shape = [8, 2, 64]
        },
        Damage(testDescription: "scales of another type", code: .wrongTensor, tensor: scales) {
            $0.tensors[scales]?.element = .i8
        },
        Damage(
            testDescription: "floats of another shape", code: .wrongTensor,
            tensor: "model.layers.0.mlp.experts.gate_up_proj", fixture: "gpt-oss"
        ) {
            $0.tensors["model.layers.0.mlp.experts.gate_up_proj"]?.shape = [8, 128, 64]
        },
        Damage(
            testDescription: "biases of another shape", code: .wrongTensor,
            tensor: "model.layers.0.mlp.experts.gate_up_proj_bias", fixture: "gpt-oss"
        ) {
            $0.tensors["model.layers.0.mlp.experts.gate_up_proj_bias"]?.shape = [128, 8]
        },
    ]

    @Test(arguments: damages)
    func whatDoesntFitIsNamed(damage: Damage) throws {
        var edited = try EditedCheckpoint(damage.fixture)
        damage.apply(&edited)
        let failure = try edited.failure()
        #expect(failure?.code == damage.code)
        #expect(failure?.tensor == damage.tensor)
    }

    /// 255 is NaN; 253 and 254 make 6 infinite.
    @Test(arguments: [253, 254, 255] as [UInt8], [false, true])
    func scalesThatAreNotFiniteAreErrors(exponent: UInt8, asCodes: Bool) throws {
        var edited = try EditedCheckpoint("gpt-oss-mxfp4")
        // Expert 3, row 5, group 1.
        edited.tensors[Self.scales]?.bytes[(3 * 64 + 5) * 2 + 1] = exponent
        let directory = try TemporaryDirectory()
        try edited.write(to: directory)
        let expert = try #require(
            try Checkpoint(directory: directory.path).experts.first {
                $0.key == ExpertKey(layer: 1, expert: 3)
            })
        let error = #expect(throws: CheckpointError.self) {
            if asCodes {
                let codes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 4096)
                let scales = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: 128)
                defer {
                    codes.deallocate()
                    scales.deallocate()
                }
                try expert.down.readPacked(0..<64, codes: codes, scales: scales)
            } else {
                _ = try expert.down.values(rows: 0..<64)
            }
        }
        #expect(error?.code == .notFinite)
        #expect(error?.tensor == Self.scales)
        #expect(error?.found == "\(exponent) in row 5, group 1")
    }
}

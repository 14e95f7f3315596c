import Checkpoint
import Container
import Foundation
import TestSupport
import Testing

/// FP8 with block scales, against a reading that shares no code with it.
@Suite("FP8 weights")
struct ScaledWeightTests {
    private let checkpoint: Checkpoint
    private let weights: SafetensorsFile
    private let scales: SafetensorsFile

    init() throws {
        let directory = Fixtures.checkpoint("deepseek-v3-fp8")
        checkpoint = try Checkpoint(directory: directory)
        weights = try SafetensorsFile(path: "\(directory)/model-00001-of-00002.safetensors")
        scales = try SafetensorsFile(path: "\(directory)/model-00002-of-00002.safetensors")
    }

    /// e4m3 by its definition.
    private func value(_ byte: UInt8) -> Double {
        let magnitude =
            byte & 0x78 == 0
            ? Double(byte & 7) / 8 * pow(2, -6)
            : (1 + Double(byte & 7) / 8) * pow(2, Double(Int(byte >> 3 & 15) - 7))
        return byte & 0x80 == 0 ? magnitude : -magnitude
    }

    /// Every FP8 matrix; kv_a has 48 rows and down 96 columns in blocks of 32, so edges are ragged.
    @Test func blocksAreScaledAcrossShards() throws {
        let all = checkpoint.tensors.map(\.matrix) + checkpoint.experts.flatMap { [$0.gate, $0.up, $0.down] }
        var count = 0
        for matrix in all {
            guard let tensor = weights.tensor(named: matrix.name), tensor.element == .f8e4m3 else { continue }
            let factors = try #require(scales.tensor(named: matrix.name + "_scale_inv"))
            let bytes = try weights.file.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
            let scale = try scales.floats(of: factors)
            let actual = try matrix.values(rows: 0..<matrix.rows)
            for row in 0..<matrix.rows {
                for column in 0..<matrix.columns {
                    let factor = scale[row / 32 * factors.shape[1] + column / 32]
                    let expected = Float(value(bytes[row * matrix.columns + column])) * factor
                    #expect(actual[row * matrix.columns + column] == expected)
                }
            }
            count += 1
        }
        #expect(count == 3 + 3 * 5 + 2 * 3 + 32 * 3)
    }

    @Test func anyRowsCanBeReadAlone() throws {
        let matrix = try #require(checkpoint.tensors.first { $0.requirement.key.role == .keyValueDown }).matrix
        let all = try matrix.values(rows: 0..<48)
        for range in [0..<1, 31..<33, 40..<48, 47..<48, 8..<8] {
            #expect(try matrix.values(rows: range) == Array(all[range.lowerBound * 64..<range.upperBound * 64]))
        }
    }

    @Test func theyAreCloseToTheUnscaledSibling() throws {
        let sibling = try Checkpoint(directory: Fixtures.checkpoint("deepseek-v3"))
        for (scaled, plain) in zip(checkpoint.experts, sibling.experts) {
            let left = try scaled.down.values(rows: 0..<64)
            let right = try plain.down.values(rows: 0..<64)
            let error = zip(left, right).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            #expect(error < 0.002 * right.reduce(0) { $0 + $1 * $1 })
        }
    }

    @Test func theSixteenBitFormatsAreReadExactly() throws {
        let directory = try TemporaryDirectory()
        var writer = SafetensorsWriter()
        // 1, −2, the largest f16, the least subnormal
        writer.add("f16", .f16, shape: [4], bytes: [0, 0x3C, 0, 0xC0, 0xFF, 0x7B, 1, 0])
        writer.add("bf16", .bf16, shape: [2], bytes: [0x80, 0x3F, 0x00, 0xC0])
        writer.add("ids", .i64, shape: [2], bytes: [1, 0, 0, 0, 0, 0, 0, 0] + .init(repeating: 0xFF, count: 8))
        writer.add("a \"name\"\n", shape: [2, 1], integers: [-5, 70000] as [Int32])
        writer.add("floats", shape: [1], floats: [0.1])
        try writer.write(to: "\(directory.path)/t.safetensors")
        let file = try SafetensorsFile(path: "\(directory.path)/t.safetensors")
        func tensor(_ name: String) throws -> SafetensorsHeader.Tensor { try #require(file.tensor(named: name)) }
        #expect(try file.floats(of: tensor("f16")) == [1, -2, 65504, 5.9604645e-8])
        #expect(try file.floats(of: tensor("bf16")) == [1, -2])
        #expect(try file.floats(of: tensor("floats")) == [0.1])
        #expect(try file.integers(of: tensor("ids")) == [1, -1])
        #expect(try file.integers(of: tensor("a \"name\"\n")) == [-5, 70000])
        #expect(try tensor("a \"name\"\n").shape == [2, 1])
        #expect(throws: CheckpointError.self) { try file.floats(of: tensor("ids")) }
    }
}

import Checkpoint
import Compute
import Container
import Glibc
import Quantizer
import TestSupport
import Testing

/// Experts without a gate, as Switch Transformers have them.
@Suite struct UngatedConversionTests {
    private let directory: TemporaryDirectory
    private var target: String { "\(directory.path)/model.moe" }

    init() throws { directory = try TemporaryDirectory() }

    private func convert(_ options: String..., fault: String? = nil) throws -> Program.Outcome {
        let environment = try fault.map { try FaultInjection(fault: $0).environment() }
        return try Program.run(
            ["convert", Fixtures.checkpoint("switch"), "-o", target] + options, environment: environment ?? [:])
    }

    @Test func everyWeightIsInItsPlace() throws {
        #expect(try convert("--type", "f32").code == 0)
        let reader = try ContainerReader(path: target)
        let checkpoint = try Checkpoint(directory: Fixtures.checkpoint("switch"))
        for expert in checkpoint.experts {
            let source = try #require(reader.source(of: expert.key, planes: .coarse))
            #expect(!source.layout.isGated && source.layout.gateUpCount == 1)
            let memory = try AlignedMemory(byteCount: source.byteCount)
            let scratch = try AlignedMemory(byteCount: max(1, source.scratchByteCount))
            try reader.readExpert(
                source, into: memory.base,
                scratch: UnsafeMutableRawBufferPointer(start: scratch.base, count: source.scratchByteCount),
                verify: true)
            for (matrix, shape, offset) in [
                (expert.up, source.layout.gateShape, source.layout.upOffset),
                (expert.down, source.layout.downShape, source.layout.downOffset),
            ] {
                let stored = Matrix(base: memory.base + offset, shape: shape)
                var values = [Float](repeating: 0, count: matrix.columns)
                for row in [0, 1, matrix.rows - 1] {
                    Kernels.best.dequantizeRow(stored, row: row, into: &values)
                    #expect(try values == matrix.values(rows: row..<row + 1))
                }
            }
        }
    }

    /// A journal tells experts with a gate from those without.
    @Test(arguments: ["int4", "int8+int4"])
    func killedInTheMiddleItGoesOn(type: String) throws {
        #expect(try convert("--type", type).code == 0)
        let checksum = try ProgramTests.checksum(of: target)
        #expect(unlink(target) == 0)
        let arguments = ["convert", Fixtures.checkpoint("switch"), "-o", target, "--type", type]
        let counts = try FaultInjection.counts(of: arguments)
        let total = try #require(counts["any"])
        #expect(unlink(target) == 0)
        let killed = try convert("--type", type, fault: "any:\(total * 3 / 4):kill")
        #expect(killed.code == 128 + Int(SIGKILL))
        let resumed = try convert("--type", type, "--resume")
        #expect(resumed.code == 0 && resumed.output.contains("were there already"), "\(resumed.error)")
        #expect(try ProgramTests.checksum(of: target) == checksum)
    }

    @Test func rulesAndLossesNameWhatIsThere() throws {
        #expect(try convert("--type", "int4", "--rule", "layers.*.experts.*.up=int8").code == 0)
        let reader = try ContainerReader(path: target)
        let record = try #require(reader.experts.values.first)
        #expect(record.layout.gateUpFormat == .q8 && record.layout.downFormat == .q4)
        let kinds = Set((reader.metadata.losses ?? []).map(\.kind).filter { $0.hasPrefix("experts.") })
        #expect(kinds == ["experts.up", "experts.down"])
        #expect(unlink(target) == 0)
        let refused = try convert("--type", "int4", "--rule", "layers.*.experts.*.gate=int8")
        #expect(refused.code != 0 && refused.error.contains("matches no tensor"), "\(refused.error)")
    }
}

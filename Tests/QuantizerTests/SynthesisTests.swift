import Checkpoint
import Compute
import Container
import FoundationEssentials
import Quantizer
import TestSupport
import Testing

@Suite("moe-quantize synthesize")
struct SynthesisTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// A small shape with a vocabulary that 8 doesn't divide and, for down, a width that 32 doesn't divide.
    private func configuration(width: Int = 64, vocabularySize: Int = 203) throws -> ModelConfiguration {
        let file = try InputFile(path: "\(Fixtures.checkpoint("deepseek-v2-lite"))/config.json")
        var configuration = try Checkpoint.configuration(json: try file.allBytes(atMost: 1 << 20))
        configuration.vocabularySize = vocabularySize
        configuration.experts?.intermediateSize = width
        return configuration
    }

    @discardableResult
    private func synthesize(
        _ configuration: ModelConfiguration, _ type: ConversionType, pure: Bool = false, seed: Int = 1,
        threads: Int = 2
    ) throws -> ContainerReader {
        let path = "\(directory.path)/model.moe"
        let plan = FormatPlan(configuration, type: type, isPure: pure)
        let synthesis = Synthesis(
            plan: plan, seed: seed, threadCount: threads,
            progress: ConversionProgress(totalByteCount: Synthesis.byteCount(of: plan), hashByteCount: 0))
        try synthesis.run(into: ContainerWriter(path: path, replacing: true), tool: "tests")
        return try ContainerReader(path: path)
    }

    private func hash(_ reader: ContainerReader) throws -> UInt64 {
        let file = try InputFile(path: reader.path)
        return XXH3.hash(try file.bytes(0..<file.byteCount))
    }

    @Test(arguments: ConversionType.allCases)
    func theSameSeedGivesTheSameBytesForAnyNumberOfThreads(type: ConversionType) throws {
        let shape = try configuration()
        var hashes: Set<UInt64> = []
        for threads in [1, 2, 5] { hashes.insert(try hash(try synthesize(shape, type, threads: threads))) }
        #expect(hashes.count == 1)
        #expect(try hash(try synthesize(shape, type, seed: 2)) != hashes.first)
    }

    @Test(
        arguments: [(ConversionType.int4, true), (.int4, false), (.int8, false), (.bf16, false), (.f32, false)],
        [64, 40])
    func weightsHaveTheDeviationThatKeepsValuesNearOne(_ type: (ConversionType, Bool), width: Int) throws {
        let reader = try synthesize(try configuration(width: width), type.0, pure: type.1)
        for record in reader.tensors.values {
            let memory = try AlignedMemory(byteCount: record.byteCount)
            try reader.readTensor(record, into: memory.base)
            let values = floats(memory.base, record.shape)
            switch record.key.role {
            case .routerBias: #expect(values.allSatisfy { $0 == 0 })
            case _ where record.shape.rows == 1: #expect(values.allSatisfy { $0 == 1 }, "\(record.key)")
            case .tokenEmbedding: check(values, deviation: 1, "\(record.key)")
            default: check(values, deviation: 1 / Double(record.shape.columns).squareRoot(), "\(record.key)")
            }
            #expect(packedAnew(memory.base, record.shape, values) ?? true, "\(record.key) has no canonical padding")
        }
        for record in reader.experts.values {
            let memory = try AlignedMemory(byteCount: record.byteCount)
            try reader.readExpert(record, into: memory.base, scratch: .init(start: nil, count: 0), verify: true)
            let down = record.layout.downShape
            check(
                floats(memory.base + record.layout.downOffset, down),
                deviation: 1 / Double(down.columns).squareRoot(), "\(record.key)")
        }
        #expect(reader.metadata.recipe.randomSeed == 1 && reader.metadata.sources.isEmpty)
    }

    private func floats(_ base: UnsafeMutableRawPointer, _ shape: MatrixShape) -> [Float] {
        var values = [Float](repeating: 0, count: shape.rows * shape.columns)
        let packing = MatrixPacking(shape)
        values.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            for row in 0..<shape.rows {
                packing.unpackRow(row, of: base, table: .linear, into: start + row * shape.columns)
            }
        }
        return values
    }

    private func check(_ values: [Float], deviation: Double, _ name: String) {
        let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
        let square = values.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(values.count)
        #expect(abs(mean) < 0.2 * deviation, "\(name)")
        #expect(abs(square.squareRoot() / deviation - 1) < 0.15, "\(name)")
    }

    /// Whether packing the floats of the last panel gives the stored bytes again, for a format that floats determine.
    private func packedAnew(_ base: UnsafeMutableRawPointer, _ shape: MatrixShape, _ values: [Float]) -> Bool? {
        guard shape.layout == .panels else { return nil }
        let last = shape.panelCount - 1
        let used = shape.rows - last * MatrixShape.panelRows
        let stored = UnsafeRawBufferPointer(start: base + last * shape.strideByteCount, count: shape.strideByteCount)
        if shape.format.isQuantized {
            let scales = shape.groupsPerRow * 16
            let unused = used * 4..<32
            return stored[scales..<shape.scaleByteCount].allSatisfy { $0 == 0 }
                && stride(from: shape.scaleByteCount, to: stored.count, by: 32).allSatisfy { line in
                    unused.allSatisfy { stored[line + $0] == 0 }
                }
        }
        let end = used * shape.columns * (shape.format == .f32 ? 4 : 2)
        return stored[end...].allSatisfy { $0 == 0 }
    }

    @Test func theCommandMakesAPresetsShape() throws {
        let target = "\(directory.path)/out.moe"
        let config = "\(Fixtures.checkpoint("moonlight"))/config.json"
        let arguments = ["synthesize", "--config", config, "--type", "int8", "--seed", "9", "-o", target]
        let made = try Program.run(arguments)
        #expect(made.code == 0 && made.output.contains("random weights"), "\(made.error)")
        let reader = try ContainerReader(path: target)
        #expect(reader.metadata.recipe.randomSeed == 9 && reader.metadata.recipe.type == "int8")
        #expect(try Program.run(arguments).code == 73, "the file exists")
        #expect(try Program.run(arguments + ["--force"]).code == 0)
    }

    @Test func aModelThatDoesNotFitTheDiskIsRefusedAtOnce() throws {
        let outcome = try Program.run([
            "synthesize", "--preset", "v3", "--type", "f32", "-o", "/dev/shm/moed-test-v3.moe",
        ])
        #expect(outcome.code == 73 && outcome.error.contains(" TB, and") && outcome.error.contains("left"))
        #expect(!FileManager.default.fileExists(atPath: "/dev/shm/moed-test-v3.moe.partial"))
    }

    @Test(arguments: [
        (["-o", "x.moe"], 64), (["--preset", "v2-lite", "--config", "x", "-o", "x.moe"], 64),
        (["--preset", "v5", "-o", "x.moe"], 64), (["--preset", "v3", "--seed", "-1", "-o", "x.moe"], 64),
        (["--config", "/nowhere.json", "-o", "/tmp/moed-none.moe"], 74),
    ])
    func exitCodes(arguments: [String], code: Int) throws {
        #expect(try Program.run(["synthesize"] + arguments).code == code)
    }
}

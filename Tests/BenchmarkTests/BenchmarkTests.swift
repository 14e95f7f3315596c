import Benchmark
import Checkpoint
import Compute
import Container
import DemoSupport
import Foundation
import Model
import Quantizer
import TestSupport
import Testing

@Suite("Measuring a model", .serialized)
struct BenchmarkTests {
    private func demo() throws -> ContainerReader { try ContainerReader(path: DemoContainer.path()) }

    private var options: BenchmarkOptions {
        var options = BenchmarkOptions(kernels: .best)
        options.prefillLengths = [40, 1 << 20]
        options.decodeDepths = [0, 70]
        options.decodeTokenCount = 4
        options.repetitionCount = 3
        options.bufferByteCount = 32 << 20
        options.plan.memory = 1 << 30
        return options
    }

    @Test("A report holds what was asked for and fits, with every figure")
    func report() throws {
        let report = try Benchmark(container: demo(), options: options).run()
        #expect(report.results.map(\.kind) == [.prefill, .decode, .decode])
        #expect(report.results.map(\.tokenCount) == [40, 4, 4])
        #expect(report.results.map(\.depth) == [0, 0, 70])
        for result in report.results {
            #expect(result.sample.seconds.count == 3)
            #expect(result.slowestTokensPerSecond <= result.tokensPerSecond)
            #expect(result.tokensPerSecond <= result.fastestTokensPerSecond)
            #expect(result.bandwidthShare > 0 && result.peakShare > 0 && result.peakShare < 1)
            // Every expert was in memory before.
            #expect(result.storageByteCount == 0)
        }
        #expect(report.limits.readBandwidth > 1e8)
        #expect(report.limits.bufferByteCount == 32 << 20)
        let copy = try JSONDecoder().decode(BenchmarkReport.self, from: JSONEncoder().encode(report))
        #expect(copy.cost == report.cost && copy.limits == report.limits)
        #expect(report.text.contains("decode 4 after 70") && report.text.contains("prefill 40"))
    }

    @Test("Dense, every token goes through all experts, which costs what the configuration says")
    func dense() throws {
        let container = try demo()
        var options = options
        options.prefillLengths = []
        options.decodeDepths = [0]
        let sparse = try Benchmark(container: container, options: options).run()
        options.isDense = true
        let dense = try Benchmark(container: container, options: options).run()
        #expect(sparse.cost.expertsPerToken < dense.cost.expertsPerToken)
        #expect(dense.cost.expertsOfOneToken == container.experts.count)
        #expect(dense.results[0].counted.byteCount > sparse.results[0].counted.byteCount)
        #expect(dense.model.isDense && !sparse.model.isDense)
        // All experts of the demonstration model are half again what a token reads otherwise.
        #expect(dense.results[0].sample.median > sparse.results[0].sample.shortest)
    }

    @Test("Sequences that decode together share experts, and all their tokens count")
    func together() throws {
        var options = options
        options.prefillLengths = []
        options.decodeDepths = [10]
        options.sequenceCount = 4
        let report = try Benchmark(container: demo(), options: options).run()
        let result = try #require(report.results.first)
        #expect(result.sequenceCount == 4)
        #expect(result.tokensPerSecond == 16 / result.sample.median)
        let alone = 4 * report.cost.expertsOfOneToken
        #expect(result.expertCount > alone && result.expertCount < 4 * alone)
        #expect(report.batchBounds.map(\.sequenceCount) == [1, 8])
    }

    /// Always the same experts.
    private final class Fixed: RoutingSource {
        func choose(layer: Int, position: Int, experts: inout MutableSpan<Int32>) {
            for rank in experts.indices { experts[rank] = Int32(rank) }
        }
    }

    @Test("A routing that is given takes the routers' place")
    func routing() throws {
        var options = options
        options.prefillLengths = []
        options.decodeDepths = [0]
        options.sequenceCount = 4
        options.routing = Fixed()
        let report = try Benchmark(container: demo(), options: options).run()
        #expect(report.results[0].expertCount == 4 * report.cost.expertsOfOneToken)
    }

    @Test("Without places for all experts a run says what it read from storage")
    func paged() throws {
        var options = options
        options.plan.expertSlots = 12
        options.decodeDepths = []
        let report = try Benchmark(container: demo(), options: options).run()
        #expect(report.results[0].storageByteCount > 0)
    }
}

@Suite("Counting a step")
struct StepCostTests {
    /// A checkpoint's shape with random weights, small enough to write in no time.
    private func cost(_ shape: String, _ directory: TemporaryDirectory) throws -> (StepCost, ModelConfiguration) {
        let file = try InputFile(path: "\(Fixtures.checkpoint(shape))/config.json")
        let configuration = try Checkpoint.configuration(json: try file.allBytes(atMost: 1 << 20))
        let path = "\(directory.path)/\(shape).moe"
        let synthesis = Synthesis(
            plan: FormatPlan(configuration, type: .int8, isPure: true), seed: 1, threadCount: 2,
            progress: ConversionProgress(totalByteCount: 1, hashByteCount: 0))
        _ = try synthesis.run(into: ContainerWriter(path: path, replacing: false), tool: "tests")
        let container = try ContainerReader(path: path)
        return (StepCost(container: container, configuration: configuration, cacheFormat: .bf16), configuration)
    }

    @Test("A prompt of one token costs what decoding it costs", arguments: ["deepseek-v2-lite", "deepseek-v3"])
    func oneToken(shape: String) throws {
        let directory = try TemporaryDirectory()
        let (cost, _) = try cost(shape, directory)
        let decode = cost.decode(count: 1, depth: 0)
        let prefill = cost.prefill(count: 1, chunk: 16, experts: cost.expertsOfOneToken)
        #expect(prefill.byteCount == decode.byteCount)
        #expect(prefill.matrixMultiplyAdds == decode.matrixMultiplyAdds)
        #expect(cost.batchByteCount(sequences: 1, depth: 0).rounded() == decode.byteCount.rounded())
        #expect(cost.decode(count: 1, depth: 0, sequences: 1, experts: cost.expertsOfOneToken) == decode)
    }

    @Test("Multiply-adds are those of the matrices that a token meets")
    func multiplyAdds() throws {
        let directory = try TemporaryDirectory()
        let (cost, configuration) = try cost("deepseek-v2-lite", directory)
        guard case .latent(let attention) = configuration.attention else { return }
        let experts = try #require(configuration.experts)
        let hidden = configuration.hiddenSize
        let heads = attention.headCount
        let query = heads * (attention.plainHeadSize + attention.ropeHeadSize) * hidden
        let keyValue =
            (attention.keyValueLatentRank + attention.ropeHeadSize) * hidden
            + heads * (attention.plainHeadSize + attention.valueHeadSize) * attention.keyValueLatentRank
        let output = hidden * heads * attention.valueHeadSize
        let sparse = configuration.sparseLayers.count { $0 }
        let feedForward =
            sparse
            * (3 * hidden * (experts.sharedIntermediateSize + experts.expertsPerToken * experts.intermediateSize)
                + experts.routedExpertCount * hidden)
            + (configuration.layerCount - sparse) * 3 * hidden * configuration.denseIntermediateSize
        #expect(cost.matrixMultiplyAdds == configuration.layerCount * (query + keyValue + output) + feedForward)
        #expect(cost.headMultiplyAdds == configuration.vocabularySize * hidden)
    }

    @Test("Deeper tokens read more cache and nothing else")
    func depth() throws {
        let directory = try TemporaryDirectory()
        let (cost, _) = try cost("deepseek-v2-lite", directory)
        let (near, far) = (cost.decode(count: 3, depth: 0), cost.decode(count: 3, depth: 100))
        #expect(far.byteCount - near.byteCount == Double(300 * cost.cacheByteCountPerPosition))
        #expect(far.matrixMultiplyAdds == near.matrixMultiplyAdds)
        #expect(
            far.attentionMultiplyAdds - near.attentionMultiplyAdds
                == Double(300 * cost.absorbedMultiplyAddsPerPosition))
    }

    @Test("Sequences together use more experts, and in the end all")
    func distinctExperts() throws {
        let directory = try TemporaryDirectory()
        let (cost, _) = try cost("deepseek-v2-lite", directory)
        #expect(abs(cost.distinctExperts(sequences: 1) - Double(cost.expertsPerToken)) < 1e-9)
        let counts = (1...8).map { cost.distinctExperts(sequences: $0) }
        #expect(zip(counts, counts.dropFirst()).allSatisfy { $0 < $1 })
        #expect(abs(cost.distinctExperts(sequences: 10_000) - Double(cost.expertsPerLayer)) < 1e-6)
    }

    @Test(
        "The median is the middle",
        arguments: [([3, 1, 2], 2), ([4, 1, 2, 3], 2.5), ([7], 7)] as [([Double], Double)])
    func median(seconds: [Double], expected: Double) {
        #expect(Sample(seconds: seconds).median == expected)
    }
}

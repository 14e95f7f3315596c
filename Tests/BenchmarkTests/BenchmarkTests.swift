import Benchmark
import Checkpoint
import Compute
import Container
import DemoSupport
import ExpertPaging
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

    @Test("An encoder-decoder is refused before the machine is measured or anything is loaded")
    func encoderDecoder() throws {
        let switchContainer = try SwitchContainer()
        let container = try ContainerReader(path: switchContainer.path)
        var options = options
        // No machine has it.
        options.bufferByteCount = 1 << 50
        var notes: [String] = []
        let error = #expect(throws: ModelError.self) {
            _ = try Benchmark(container: container, options: options) { notes.append($0) }
        }
        #expect(error?.code == .unsupported && error?.message.contains(container.path) == true)
        #expect(notes.isEmpty)
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
        options.plan.chunk = 16
        let report = try Benchmark(container: demo(), options: options).run()
        let result = report.results[0]
        #expect(result.storageByteCount > 0)
        let paging = try #require(result.paging)
        #expect(paging.chunkCount == 3)
        // Each expert once a chunk at most.
        #expect(try #require(paging.readsOfAllExperts) <= 1)
        #expect(paging.missedBytesPerToken > 0 && paging.restBytesPerToken > 0)
        #expect(try #require(report.storage).bytesPerSecond > 0)
        #expect(report.text.contains("bound: ") && report.text.contains("times the bytes of all experts"))
    }

    @Test("Made-up routing drives the choice, is predicted, and is named in the report")
    func madeUpRouting() throws {
        let container = try demo()
        let configuration = container.metadata.configuration
        let experts = try #require(configuration.experts)
        let routing = try TraceRouting(
            SyntheticRouting(parsing: "olmoe,topic=500"), tokenCount: 400, seed: 1,
            sparseLayers: configuration.sparseLayers, expertsPerLayer: experts.routedExpertCount,
            expertsPerToken: experts.expertsPerToken)
        var options = options
        options.prefillLengths = []
        options.decodeDepths = [0]
        options.plan.expertSlots = 40
        options.routing = routing
        options.routingDescription = routing.description
        let report = try Benchmark(container: container, options: options).run()
        let paging = try #require(report.results[0].paging)
        // Of uniform routing, as many as have a slot.
        #expect(paging.hitRate > 0.33)
        if let recall = paging.recall { #expect((0.6...0.95).contains(recall)) }
        #expect(report.text.contains("experts chosen by made up: A=0.65,B=0.0,slow=1.0,fast=0.8,topic=500"))
    }

    @Test("A trace's own experts are chosen, token after token, and a trace that doesn't fit is refused")
    func recordedRouting() throws {
        let tokens: [[[Int32]]] = [[[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [5, 6, 7]]]
        let trace = try RoutingTrace(layerCount: 2, expertsPerLayer: 8, expertsPerToken: 3, tokens: tokens)
        func routing(experts: Int, perToken: Int) throws -> TraceRouting {
            try TraceRouting(
                trace, description: "test", sparseLayers: [false, true, true, true], expertsPerLayer: experts,
                expertsPerToken: perToken)
        }
        let source = try routing(experts: 8, perToken: 3)
        func choose(_ layer: Int) -> [Int32] {
            var chosen: [Int32] = [0, 0, 0]
            var span = chosen.mutableSpan
            source.choose(layer: layer, position: 9, experts: &span)
            return chosen
        }
        for _ in 0..<2 {
            #expect(choose(1) == [0, 1, 2] && choose(2) == [3, 4, 5])
            // The third layer begins again with the first, later.
            #expect(choose(3) == [1, 2, 3])
            #expect(choose(1) == [1, 2, 3] && choose(2) == [5, 6, 7] && choose(3) == [0, 1, 2])
        }
        // Of three, two.
        let fewer = try routing(experts: 8, perToken: 2)
        var chosen: [Int32] = [0, 0]
        var span = chosen.mutableSpan
        fewer.choose(layer: 1, position: 0, experts: &span)
        #expect(Set(chosen).count == 2 && Set(chosen).isSubset(of: [0, 1, 2]))
        #expect(throws: RoutingTraceError.self) { try routing(experts: 64, perToken: 3) }
        #expect(throws: RoutingTraceError.self) { try routing(experts: 8, perToken: 4) }
        for text in ["nobody", "A=2", "A=0.9,B=0.9", "olmoe,x=1", "A", "fast=0"] {
            #expect(throws: RoutingTraceError.self) { try SyntheticRouting(parsing: text[...]) }
        }
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

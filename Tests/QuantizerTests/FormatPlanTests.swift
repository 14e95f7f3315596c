import Checkpoint
import Compute
import Container
import Quantizer
import TestSupport
import Testing

@Suite("Formats of a container")
struct FormatPlanTests {
    /// The shapes of DeepSeek-V2-Lite and DeepSeek-V3, whose arithmetic is the point here.
    static func large(_ name: String) -> ModelConfiguration {
        let isLite = name == "V2-Lite"
        let layers = isLite ? 27 : 61
        return ModelConfiguration(
            family: "deepseek_v3", vocabularySize: isLite ? 102_400 : 129_280, hiddenSize: isLite ? 2048 : 7168,
            layerCount: layers, contextLength: 163_840, normEpsilon: 1e-6,
            attention: .latent(
                .init(
                    headCount: isLite ? 16 : 128, queryLatentRank: isLite ? nil : 1536, keyValueLatentRank: 512,
                    plainHeadSize: 128, ropeHeadSize: 64, valueHeadSize: 128, latentNormEpsilon: 1e-6,
                    softmaxScale: 0.1)),
            rotary: .init(theta: 10000, pairing: .interleaved, yarn: nil), activation: .silu,
            denseIntermediateSize: isLite ? 10944 : 18432, sparseLayers: (0..<layers).map { $0 >= (isLite ? 1 : 3) },
            experts: .init(
                routedExpertCount: isLite ? 64 : 256, expertsPerToken: isLite ? 6 : 8,
                intermediateSize: isLite ? 1408 : 2048, sharedIntermediateSize: isLite ? 2816 : 2048,
                router: .init(
                    scoring: .sigmoid, hasSelectionBias: true, groupCount: 1, groupsPerToken: 1, groupScore: .topTwoSum,
                    normalizesWeights: true, weightScale: 1)),
            beginToken: 0, endTokens: [1])
    }

    static func configuration(_ name: String) throws -> ModelConfiguration {
        switch name {
        case "V2-Lite", "V3": large(name)
        case "demo": try Checkpoint(directory: Fixtures.demo).configuration
        default: try Checkpoint(directory: Fixtures.checkpoint(name)).configuration
        }
    }

    @Test(arguments: ["demo", "V2-Lite", "V3", "deepseek-v3", "moonlight"])
    func theMixReadsAtMostATenthMore(name: String) throws {
        let configuration = try Self.configuration(name)
        let pure = FormatPlan(configuration, type: .int4, isPure: true).byteCountPerToken
        let mixed = FormatPlan(configuration, type: .int4, isPure: false).byteCountPerToken
        #expect(mixed > pure)
        #expect(mixed * 10 <= pure * 11)
    }

    @Test(arguments: ["demo", "V2-Lite", "V3"])
    func theMixKeepsTheLatentsAndTheEmbeddingAtInt8(name: String) throws {
        let configuration = try Self.configuration(name)
        let plan = FormatPlan(configuration, type: .int4, isPure: false)
        let finer: Set<TensorRole> = [.tokenEmbedding, .queryDown, .keyValueDown, .keyValueUp]
        for tensor in configuration.residentTensors where tensor.key.role != .outputHead {
            let format = plan.shape(of: tensor).format
            #expect(format == (tensor.mustBeF32 ? .f32 : finer.contains(tensor.key.role) ? .q8 : .q4), "\(tensor.key)")
        }
        // Where it weighs little.
        #expect(plan.finerRoles.contains(.outputHead) == (name == "V3"))
    }

    @Test(arguments: [(ConversionType.int4, BlockFormat.q4), (.int8, .q8), (.bf16, .bf16), (.f32, .f32)])
    func pureTypesAreTheSameThroughout(type: ConversionType, format: BlockFormat) throws {
        let configuration = try Self.configuration("demo")
        let plan = FormatPlan(configuration, type: type, isPure: true)
        for tensor in configuration.residentTensors {
            #expect(plan.shape(of: tensor).format == (tensor.mustBeF32 ? .f32 : format), "\(tensor.key)")
        }
        let layout = try #require(plan.expertLayout)
        #expect(layout.gateUpFormat == format && layout.downFormat == format)
    }

    /// By hand for one V3 expert: 3 · 2048 · 7168 weights at 4.5 bits.
    @Test func anExpertOfV3Has24Point8Megabytes() throws {
        let layout = try #require(FormatPlan(Self.large("V3"), type: .int4, isPure: true).expertLayout)
        #expect(layout.byteCount == 3 * 2048 * 7168 * 9 / 16)
    }
}

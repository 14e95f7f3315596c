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

    private static func plan(
        _ recipe: BuiltInRecipe, _ configuration: ModelConfiguration, _ type: ConversionType = .int4
    ) throws -> FormatPlan {
        try FormatPlan(
            configuration, own: [], recipe: recipe.rules(for: configuration, type: type), name: recipe.rawValue)
    }

    @Test(arguments: ["demo", "V2-Lite", "V3", "deepseek-v3", "moonlight"], [ConversionType.int4, .int8])
    func recipesReadNoMoreThanTheySay(name: String, type: ConversionType) throws {
        let configuration = try Self.configuration(name)
        let pure = try Self.plan(.pure, configuration, type).byteCountPerToken
        let small = try Self.plan(.small, configuration, type).byteCountPerToken
        let balanced = try Self.plan(.balanced, configuration, type).byteCountPerToken
        let quality = try Self.plan(.quality, configuration, type).byteCountPerToken
        #expect(pure < small && small < balanced && balanced < quality)
        #expect(small * 100 <= pure * 102)
        #expect(balanced * 10 <= pure * 11)
        #expect(FormatPlan(configuration, type: type, isPure: false).byteCountPerToken == balanced)
    }

    @Test(arguments: ["demo", "V2-Lite", "V3"])
    func balancedKeepsTheEmbeddingAndTheLatentsFine(name: String) throws {
        let configuration = try Self.configuration(name)
        let plan = try Self.plan(.balanced, configuration)
        #expect(plan.type(of: TensorKey(.tokenEmbedding)) == .int8)
        for layer in 0..<configuration.layerCount {
            #expect(plan.type(of: TensorKey(.keyValueUp, layer: layer)) == .int8)
            #expect(plan.type(of: TensorKey(.keyValueDown, layer: layer)) == .int8)
            #expect(name == "V2-Lite" || plan.type(of: TensorKey(.queryDown, layer: layer)) == .int8)
        }
        for key in plan.expertKeys { #expect(plan.types(of: key) == .init(gateUp: .int4, down: .int4)) }
    }

    @Test(arguments: ["demo", "V2-Lite", "V3"])
    func balancedInt8KeepsTheEmbeddingAndSomeOfTheRestInBF16(name: String) throws {
        let configuration = try Self.configuration(name)
        let plan = try Self.plan(.balanced, configuration, .int8)
        #expect(plan.type(of: TensorKey(.tokenEmbedding)) == .bf16)
        #expect(plan.type(of: TensorKey(.outputHead)) == .int8)
        let types = (0..<configuration.layerCount).map { plan.type(of: TensorKey(.keyValueDown, layer: $0)) }
        #expect(types.contains(.bf16) && types.allSatisfy { $0 == .bf16 || $0 == .int8 })
        for key in plan.expertKeys { #expect(plan.types(of: key) == .init(gateUp: .int8, down: .int8)) }
    }

    @Test func qualityKeepsAllThatEveryTokenReads() throws {
        let configuration = Self.large("V3")
        let plan = try Self.plan(.quality, configuration)
        for tensor in configuration.residentTensors where !tensor.mustBeF32 {
            #expect(plan.shape(of: tensor).format == .q8)
        }
        // The first quarter of 58 sparse layers.
        for key in plan.expertKeys {
            #expect(plan.types(of: key) == .init(gateUp: .int4, down: key.layer < 3 + 15 ? .int8 : .int4))
        }
    }

    /// A few lines, not thousands.
    @Test(arguments: BuiltInRecipe.allCases)
    func recipesAreShort(recipe: BuiltInRecipe) {
        let rules = recipe.rules(for: Self.large("V3"), type: .int4)
        #expect(rules.count <= 15)
        #expect(rules.last?.description == "*=int4")
    }

    @Test(arguments: [(ConversionType.int4, BlockFormat.q4), (.int8, .q8), (.bf16, .bf16), (.f32, .f32)])
    func pureTypesAreTheSameThroughout(type: ConversionType, format: BlockFormat) throws {
        let configuration = try Self.configuration("demo")
        let plan = FormatPlan(configuration, type: type, isPure: true)
        for tensor in configuration.residentTensors {
            #expect(plan.shape(of: tensor).format == (tensor.mustBeF32 ? .f32 : format), "\(tensor.key)")
        }
        let layout = try #require(plan.layout(of: ExpertKey(layer: 1, expert: 0)))
        #expect(layout.gateUpFormat == format && layout.downFormat == format)
    }

    /// By hand for one V3 expert: 3 · 2048 · 7168 weights at 4.5 bits.
    @Test func anExpertOfV3Has24Point8Megabytes() throws {
        let layout = try #require(
            FormatPlan(Self.large("V3"), type: .int4, isPure: true).layout(of: ExpertKey(layer: 3, expert: 255)))
        #expect(layout.byteCount == 3 * 2048 * 7168 * 9 / 16)
    }
}

import Checkpoint
import Compute
import Container
import ExpertPaging
import Glibc
import Model
import Quantizer
import Synchronization
import TestSupport
import Testing

/// The checkpoints whose reference outputs pin the forward pass.
enum ReferenceModel: String, CaseIterable, CustomTestStringConvertible {
    case deepseekV3 = "deepseek-v3"
    case deepseekV3FP8 = "deepseek-v3-fp8"
    case deepseekV2 = "deepseek-v2"
    case deepseekV2Lite = "deepseek-v2-lite"
    case moonlight
    case kimiK2 = "kimi-k2-int4"
    case deepseekV1 = "deepseek-v1"
    case qwen3MoE = "qwen3-moe"
    case glm4MoE = "glm4-moe"
    case glm4MoELite = "glm4-moe-lite"
    case dots1
    case gptOSS = "gpt-oss"
    case gptOSSMXFP4 = "gpt-oss-mxfp4"
    case mixtral
    case olmoe
    case qwen3
    case llama
    case demo

    var testDescription: String { rawValue }

    var directory: String { self == .demo ? Fixtures.demo : Fixtures.checkpoint(rawValue) }
    var goldenPath: String { self == .demo ? Fixtures.demoGolden : "\(directory)/golden.safetensors" }
    /// Tokens of the reference's greedy prompt.
    var greedyPromptCount: Int { self == .demo ? 48 : 32 }
}

/// What the reference implementation computed.
struct Golden {
    let tokens: [Int32]
    let logits: [Float]
    let hiddenStates: [Float]
    let greedyTokens: [Int32]

    init(_ model: ReferenceModel) throws {
        let file = try SafetensorsFile(path: model.goldenPath)
        func tensor(_ name: String) throws -> SafetensorsHeader.Tensor {
            try #require(file.tensor(named: name), "\(model.goldenPath) has no \(name)")
        }
        tokens = try file.integers(of: tensor("input_ids")).map { try #require(Int32(exactly: $0)) }
        logits = try file.floats(of: tensor("logits"))
        hiddenStates = try file.floats(of: tensor("hidden_states"))
        greedyTokens = try file.integers(of: tensor("greedy_ids")).map { try #require(Int32(exactly: $0)) }
    }
}

/// Containers made from the checkpoints, each once a process, removed at its end.
enum TestContainers {
    static func container(_ model: ReferenceModel, _ type: ConversionType = .f32) throws -> ContainerReader {
        try ContainerReader(path: path(model, type))
    }

    static func path(_ model: ReferenceModel, _ type: ConversionType = .f32) throws -> String {
        try made.withLock { state in
            let directory: TemporaryDirectory
            if let existing = state.directory {
                directory = existing
            } else {
                directory = try TemporaryDirectory()
                state.directory = directory
                atexit { TestContainers.made.withLock { $0.directory = nil } }
            }
            let path = "\(directory.path)/\(model.rawValue)-\(type.rawValue).moe"
            if state.paths.insert(path).inserted { try convert(model, type, to: path) }
            return path
        }
    }

    private struct State: Sendable {
        var directory: TemporaryDirectory?
        var paths: Set<String> = []
    }

    private static let made = Mutex(State())

    private static func convert(_ model: ReferenceModel, _ type: ConversionType, to path: String) throws {
        let checkpoint = try Checkpoint(directory: model.directory)
        let conversion = Conversion(
            checkpoint, plan: FormatPlan(checkpoint.configuration, type: type, isPure: false), packing: .never,
            threadCount: 2,
            progress: ConversionProgress(
                totalByteCount: Conversion.sourceByteCount(of: checkpoint), hashByteCount: 0))
        _ = try conversion.run(into: ContainerWriter(path: path, replacing: false), tool: "tests")
    }
}

/// A model as a test wants it.
func load(
    _ model: ReferenceModel, _ type: ConversionType = .f32, context: Int = 256, chunk: Int = 256,
    expertSlots: Int? = nil, cacheFormat: CacheFormat = .f32, planes: PlaneChoice? = nil, threads: Int = 2,
    kernels: Kernels = .best, willRead: ReadObserver? = nil
) throws -> LoadedModel {
    let container = try TestContainers.container(model, type)
    return try load(
        container, context: context, chunk: chunk, expertSlots: expertSlots, cacheFormat: cacheFormat,
        planes: planes, threads: threads, kernels: kernels, willRead: willRead)
}

func load(
    _ container: ContainerReader, context: Int = 256, chunk: Int = 256, expertSlots: Int? = nil,
    cacheFormat: CacheFormat = .f32, planes: PlaneChoice? = nil, popularity: PopularityFile? = nil, threads: Int = 2,
    kernels: Kernels = .best, willRead: ReadObserver? = nil
) throws -> LoadedModel {
    let plan = try MemoryPlan(
        container: container,
        options: MemoryPlan.Options(
            memory: 1 << 30, context: context, expertSlots: expertSlots, cacheFormat: cacheFormat, chunk: chunk,
            planes: planes, popularity: popularity))
    return try LoadedModel(
        container: container, plan: plan, threadCount: threads, kernels: kernels, willRead: willRead)
}

/// Whether two results are the same bit for bit.
func areIdentical(_ first: [Float], _ second: [Float]) -> Bool {
    first.count == second.count && zip(first, second).allSatisfy { $0.bitPattern == $1.bitPattern }
}

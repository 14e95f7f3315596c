import Checkpoint
import Compute
import Container
import DemoSupport
import EncoderDecoder
import ExpertPaging
import Glibc
import Model
import Quantizer
import Synchronization
import TestSupport
import Testing

/// The Switch checkpoint whose reference outputs pin the forward pass, and containers of it.
enum SwitchModel {
    static let directory = Fixtures.checkpoint("switch")

    /// What the reference implementation computed.
    struct Golden {
        let inputTokens: [Int32]
        let decoderTokens: [Int32]
        let encoderStates: [Float]
        let logits: [Float]
        let greedyTokens: [Int32]

        init() throws {
            let path = "\(SwitchModel.directory)/golden.safetensors"
            let file = try SafetensorsFile(path: path)
            func tensor(_ name: String) throws -> SafetensorsHeader.Tensor {
                try #require(file.tensor(named: name), "\(path) has no \(name)")
            }
            func tokens(_ name: String) throws -> [Int32] {
                try file.integers(of: tensor(name)).map { try #require(Int32(exactly: $0)) }
            }
            inputTokens = try tokens("encoder_input_ids")
            decoderTokens = try tokens("decoder_input_ids")
            encoderStates = try file.floats(of: tensor("encoder_hidden"))
            logits = try file.floats(of: tensor("logits"))
            greedyTokens = try tokens("greedy_ids")
        }

        var request: EncoderDecoderTrace.Request {
            .init(inputTokens: inputTokens, decoderTokens: decoderTokens, greedyCount: greedyTokens.count)
        }
    }

    /// Each made once a process, removed at its end.
    static func container(_ type: ConversionType = .f32) throws -> ContainerReader {
        let container = try made.withLock { containers in
            if let container = containers[type] { return container }
            if containers.isEmpty { atexit { SwitchModel.made.withLock { $0.removeAll() } } }
            let container = try SwitchContainer(type)
            containers[type] = container
            return container
        }
        return try ContainerReader(path: container.path)
    }

    private static let made = Mutex<[ConversionType: SwitchContainer]>([:])

    /// A model as a test wants it.
    static func load(
        _ type: ConversionType = .f32, context: Int = 128, chunk: Int = 256, sequences: Int? = nil,
        expertSlots: Int? = nil, cacheFormat: CacheFormat = .f32, planes: PlaneChoice? = nil, threads: Int = 2,
        kernels: Kernels = .best, willRead: ReadObserver? = nil
    ) throws -> EncoderDecoderModel {
        try load(
            container(type), context: context, chunk: chunk, sequences: sequences, expertSlots: expertSlots,
            cacheFormat: cacheFormat, planes: planes, threads: threads, kernels: kernels, willRead: willRead)
    }

    static func load(
        _ container: ContainerReader, context: Int = 128, chunk: Int = 256, sequences: Int? = nil,
        expertSlots: Int? = nil, cacheFormat: CacheFormat = .f32, planes: PlaneChoice? = nil, threads: Int = 2,
        kernels: Kernels = .best, willRead: ReadObserver? = nil
    ) throws -> EncoderDecoderModel {
        let plan = try MemoryPlan(
            container: container,
            options: MemoryPlan.Options(
                memory: 1 << 30, context: context, expertSlots: expertSlots, cacheFormat: cacheFormat, chunk: chunk,
                sequences: sequences, planes: planes))
        return try EncoderDecoderModel(
            LoadedModel(
                container: container, plan: plan, threadCount: threads, kernels: kernels, willRead: willRead))
    }
}

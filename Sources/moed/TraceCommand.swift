import ArgumentParser
import Checkpoint
import Compute
import Container
import EncoderDecoder
import Glibc
import Model

/// `moed trace`: runs the forward pass on given tokens and writes what it computed, so that anyone can compare it with a
/// reference.
struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "Run a model on given tokens and write its logits and hidden states.",
        discussion: """
            IN.safetensors holds `input_ids` (int32 or int64). OUT.safetensors gets `logits` [tokens, vocabulary] and \
            `hidden_states` [layers + 1, tokens, hidden]: the residual stream after the embedding and after each \
            layer, the last entry after the final norm. If the input has `greedy_ids`, its length says how far the \
            first --greedy-prompt tokens are continued greedily, and OUT gets `greedy_ids` too.

            For an encoder-decoder IN holds `encoder_input_ids` and `decoder_input_ids`, and OUT gets `encoder_hidden` \
            [encoder tokens, hidden] and `logits` [decoder tokens, vocabulary]. If IN has `greedy_ids`, so many tokens are \
            made greedily, the start token first.
            """)

    @Argument(help: "The model.", completion: .file(extensions: ["moe"]))
    var model: String

    @Option(help: "The tokens, a safetensors file.", completion: .file(extensions: ["safetensors"]))
    var input: String

    @Option(help: "The results, a safetensors file; it is replaced.")
    var output: String

    @Option(help: "Tokens of the input that the greedy continuation starts from.")
    var greedyPrompt = 32

    @Option(help: "Memory to use at most, such as 900M or 2G (default: what the system leaves).")
    var memory: MemorySize?

    @Option(help: "Tokens of the input that are computed together (default: up to 512, as the memory allows).")
    var chunk: Int?

    @Flag(help: "Compute one token a step, as when text is generated.")
    var decode = false

    @Option(help: "Exactly so many experts in memory.")
    var expertSlots: Int?

    @OptionGroup var planes: PlaneOptions

    @Option(name: .customLong("kv"), help: "Format of the KV cache, f32 or bf16 (default: f32 for an f32 model).")
    var cacheFormat: CacheFormat?

    @Option(help: "Threads that compute (default: as many as the process may keep busy).")
    var threads: Int?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads must be 1 to 1024.") }
        if greedyPrompt < 1 { throw ValidationError("--greedy-prompt must be at least 1.") }
    }

    func run() throws {
        do {
            try trace()
        } catch let code as ExitCode {
            throw code
        } catch {
            throw failure("\(error)", ExitStatus.of(error))
        }
    }

    private func trace() throws {
        let container = try ContainerReader(path: model)
        if container.metadata.configuration.encoder != nil { return try traceEncoderDecoder(container) }
        let request = try readRequest()
        let loaded = try load(container, contextLength: request.contextLength)
        let result = try Trace(request, model: loaded)

        let shape = loaded.configuration
        var writer = SafetensorsWriter()
        writer.add("logits", shape: [request.tokens.count, shape.vocabularySize], floats: result.logits)
        writer.add(
            "hidden_states", shape: [shape.layerCount + 1, request.tokens.count, shape.hiddenSize],
            floats: result.hiddenStates)
        if request.greedyCount > 0 {
            writer.add("greedy_ids", shape: [result.greedyTokens.count], integers: result.greedyTokens)
        }
        try writer.write(to: output)
    }

    private func traceEncoderDecoder(_ container: ContainerReader) throws {
        let file = try SafetensorsFile(path: input)
        let request = EncoderDecoderTrace.Request(
            inputTokens: try readTokens("encoder_input_ids", file),
            decoderTokens: try readTokens("decoder_input_ids", file),
            greedyCount: file.tensor(named: "greedy_ids")?.elementCount ?? 0)
        let loaded = try EncoderDecoderModel(load(container, contextLength: request.contextLength))
        let result = try EncoderDecoderTrace(request, model: loaded)
        if result.droppedCount > 0 {
            report(
                "tokens were left out \(result.droppedCount) times because their expert was full, as the model has it")
        }

        let shape = loaded.configuration
        var writer = SafetensorsWriter()
        writer.add(
            "encoder_hidden", shape: [request.inputTokens.count, shape.hiddenSize], floats: result.encoderStates)
        writer.add("logits", shape: [request.decoderTokens.count, shape.vocabularySize], floats: result.logits)
        if request.greedyCount > 0 {
            writer.add("greedy_ids", shape: [result.greedyTokens.count], integers: result.greedyTokens)
        }
        try writer.write(to: output)
    }

    private func load(_ container: ContainerReader, contextLength: Int) throws -> LoadedModel {
        let plan = try MemoryPlan(
            container: container,
            options: MemoryPlan.Options(
                memory: memory?.byteCount, context: contextLength, expertSlots: expertSlots,
                cacheFormat: cacheFormat, chunk: chunk, planes: planes.planes,
                popularity: planes.popularity(of: container)))
        for warning in plan.warnings { report("warning: \(warning)") }
        return try LoadedModel(
            container: container, plan: plan, threadCount: threads ?? ThreadCount.available, kernels: .selected())
    }

    private func readTokens(_ name: String, _ file: SafetensorsFile) throws -> [Int32] {
        guard let ids = file.tensor(named: name) else {
            throw failure("\(input) has no tensor \(name), the tokens to run", EX_DATAERR)
        }
        let tokens = try file.integers(of: ids).map { id in
            guard let token = Int32(exactly: id) else {
                throw failure("\(input): \(id) in \(name) isn't a token", EX_DATAERR)
            }
            return token
        }
        guard !tokens.isEmpty else { throw failure("\(input): \(name) is empty", EX_DATAERR) }
        return tokens
    }

    private func readRequest() throws -> Trace.Request {
        let file = try SafetensorsFile(path: input)
        return Trace.Request(
            tokens: try readTokens("input_ids", file), isStepwise: decode, greedyPromptCount: greedyPrompt,
            greedyCount: file.tensor(named: "greedy_ids")?.elementCount ?? 0)
    }

    private func failure(_ message: String, _ code: Int32) -> ExitCode {
        report("error: \(message)")
        return ExitCode(code)
    }

    private func report(_ line: String) {
        var text = "moed trace: \(line)\n"
        text.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

extension MemorySize: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

extension CacheFormat: ExpressibleByArgument {}

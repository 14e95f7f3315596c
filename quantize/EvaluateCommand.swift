package import ArgumentParser
import Container
package import Evaluation
import ExpertPaging
import Model
import Quantizer

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate", abstract: "Measure how well a model predicts a text, and what quantising it cost.",
        discussion: """
            The text is cut into chunks of --context tokens; the second half of each is scored, as published perplexities \
            are made. Only results of the same text (its checksum is printed), context and tokenizer can be compared. \
            With --reference, usually the same model in f32 or bf16, the Kullback-Leibler divergence from it says what \
            quantising cost more surely than perplexity does. ± is one standard error.

            --step with --slots, --prefer-resident and --drop-cold measures what the daemon's lossy help costs and what \
            it saves: with the model itself as the reference, the divergence is the help's alone.
            """)

    @Argument(help: "The model.", completion: .file(extensions: ["moe"]))
    var model: String

    @Option(help: "The text, UTF-8.", completion: .file())
    var text: String

    @Option(help: "The model to compare with.", completion: .file(extensions: ["moe"]))
    var reference: String?

    @Option(help: "Tokens of a chunk.")
    var context = 512

    @Option(
        name: .customLong("kv"),
        help: "Format of the KV cache, f32 or bf16; f32 measures the file and not the cache that the daemon has.")
    var cacheFormat = CacheFormat.f32

    @Option(
        help: """
            Which planes of experts that have two: coarse, both, or heat, both of those that --state says are used most \
            (default: both if every expert has room, else coarse).
            """)
    var planes: PlaneChoice?

    @Option(help: "With --planes heat: where the daemon keeps which experts are used most.")
    var state: String?

    @Option(help: "Memory for the model at most, such as 900M or 4G (default: what the system leaves).")
    var memory: MemorySize?

    @Flag(
        help: ArgumentHelp(
            "Compute in batches, one token a step, or as prompts are read; the reference reads in batches.",
            discussion: "Steps and batches agree to the last bit. With --prefill, latent attention takes another form.")
    )
    var reading = Evaluation.Reading.batches

    @Option(help: "Exactly so many experts in memory, for the model only; by default as many as fit.")
    var slots: Int?

    @Option(help: "With --step: let experts in memory rank higher, by this part of a token's scores, 0 to 1.")
    var preferResident: Float = 0

    @Option(help: "With --step: leave out experts that aren't in memory below this part of the mean weight, 0 to 1.")
    var dropCold: Float = 0

    @Flag(help: "Print one JSON object.")
    var json = false

    @Option(help: "Threads to use; by default all that the machine allows.")
    var threads: Int?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads must be from 1 to 1024.") }
        for (name, value) in [("--prefer-resident", preferResident), ("--drop-cold", dropCold)] where value != 0 {
            guard LossyRouting.strengths.contains(value) else {
                throw ValidationError("\(name) must be from 0 to 1.")
            }
            guard reading == .steps else {
                throw ValidationError("\(name) needs --step: routers help only where one token is computed a step.")
            }
        }
        if planes == .heat, state == nil {
            throw ValidationError("--planes heat needs --state, where the daemon keeps which experts are used most.")
        }
        if context < 4 { throw ValidationError("--context must be at least 4.") }
    }

    func run() throws {
        do {
            try evaluate()
        } catch {
            throw Failure.report(error)
        }
    }

    private func evaluate() throws {
        let cancellation = Cancellation()
        let signals = StopSignals(cancellation)
        defer { signals.stop() }
        let container = try ContainerReader(path: model)
        let other = try reference.map { try ContainerReader(path: $0) }
        if let other, other.text.tokenizerJSON != container.text.tokenizerJSON {
            throw EvaluationError(.differentModels, "\(other.path) has another tokenizer than \(model)")
        }
        let text = try EvaluationText(path: text, container: container, contextLength: context)
        let isCalibrated = warnOfCalibration(container, text)
        let share = other == nil ? 1 : 0.5
        let loaded = try ModelOpening.load(
            container, contextLength: context, cacheFormat: cacheFormat, planes: planes,
            popularity: popularity(of: container), threads: threads, memory: memory?.byteCount, share: share,
            expertSlots: slots)
        let expected = try other.map {
            try ModelOpening.load($0, contextLength: context, cacheFormat: cacheFormat, threads: threads, share: share)
        }
        let progress = TextProgress(
            totalTokenCount: Evaluation.tokenCount(of: text, hasReference: expected != nil))
        let display = ProgressDisplay(progress, "evaluating")
        let result: Evaluation
        do {
            defer { display.stop() }
            result = try Evaluation(
                loaded, text: text, reference: expected, reading: reading,
                lossy: LossyRouting(preferResident: preferResident, dropCold: dropCold), progress: progress,
                cancelled: { cancellation.isRequested })
        }
        let report = EvaluationReport(
            model: model, reference: reference, text: .init(text.identity), contextLength: context,
            chunkCount: text.chunks.count, reading: reading, preferResident: preferResident, dropCold: dropCold,
            planes: loaded.plan.planesInForce?.rawValue, refinedExpertCount: loaded.plan.heat?.refinedExpertCount,
            refinedUse: loaded.plan.heat?.recordedUse, isCalibratedOnText: isCalibrated, result: result)
        print(json ? try report.json : report.lines)
    }

    private func popularity(of container: ContainerReader) throws -> PopularityFile? {
        guard planes == .heat, let state else { return nil }
        return try PopularityFile.read(of: container, in: state)
    }

    /// A model that was fitted to the text looks better than it is.
    private func warnOfCalibration(_ container: ContainerReader, _ text: EvaluationText) -> Bool {
        guard container.metadata.recipe.importance?.textChecksums.contains(text.identity.checksum) == true else {
            return false
        }
        Terminal.complain("WARNING: \(model) was calibrated on this very text (XXH3 \(text.identity.checksum)).")
        Terminal.complain("WARNING: the results look better than they are. Evaluate on another text.")
        return true
    }
}

extension Evaluation.Reading: EnumerableFlag {
    package static func name(for value: Self) -> NameSpecification {
        switch value {
        case .batches: .customLong("batch")
        case .steps: .customLong("step")
        case .prefill: .customLong("prefill")
        }
    }
}

import ArgumentParser
import Checkpoint
import Compute
import Container
import Quantizer
import Tokenizer

struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert", abstract: "Quantise a checkpoint into one .moe file.",
        discussion: """
            CHECKPOINT is a folder with config.json and safetensors files, as published, or a GGUF file (of several parts \
            the first). Its matrices get types by rules, those of --rule first, then those of a recipe; router, norms and \
            biases stay f32. The file gets its name only when it is complete; until then NAME.moe.partial and \
            NAME.moe.journal stand for it, from which --resume goes on after whatever ended the conversion.
            """)

    @Argument(help: ArgumentHelp("The folder of the published model, or a GGUF file.", valueName: "checkpoint"))
    var checkpoint: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The file to make.", valueName: "name.moe"))
    var output: String

    @OptionGroup(title: "Types")
    var recipe: RecipeOptions

    @Option(
        help: """
            How matrices are quantised: search finds the code tables and scales that lose least; gptq also lets columns \
            make up for each other's errors, and needs an --imatrix from 'calibrate --hessians'; rtn rounds to nearest, for \
            comparison.
            """)
    var method: QuantizationMethod = .search

    @Option(
        help: ArgumentHelp(
            "Make errors count by an importance matrix, from 'moe-quantize calibrate' or llama.cpp (GGUF).",
            valueName: "file"))
    var imatrix: String?

    @Option(help: "Pack expert blobs with LZ4: auto (where it saves 10 %), always or never.")
    var pack: Packing = .auto

    @Flag(
        name: .customLong("no-mtp"),
        help: "Leave out layers for multi-token prediction, which moed keeps for later and doesn't use.")
    var leavesPrediction = false

    @Option(help: "Threads to use; by default all that the machine allows.")
    var threads: Int?

    @Flag(help: "Replace the output file if there is one, and start over if there is an unfinished one.")
    var force = false

    @Flag(help: "Go on with an unfinished conversion, if there is one; it must have been begun with the same options.")
    var resume = false

    @Flag(
        help: "Write nothing: show every tensor's type, the file's size, what converting takes and where it will run.")
    var dryRun = false

    @Flag(help: "With --dry-run: as JSON.")
    var json = false

    func validate() throws {
        if method == .rtn, imatrix != nil { throw ValidationError("--method rtn has no use for --imatrix.") }
        if method == .gptq, imatrix == nil {
            throw ValidationError("--method gptq needs --imatrix, from 'moe-quantize calibrate --hessians'.")
        }
        if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads must be from 1 to 1024.") }
        if output.isEmpty || output.hasSuffix("/") { throw ValidationError("--output must be a file's name.") }
        if json, !dryRun { throw ValidationError("--json is for --dry-run.") }
    }

    func run() throws {
        do {
            if dryRun { try forecast() } else { try convert() }
        } catch let code as ExitCode {
            throw code
        } catch {
            throw Failure.report(error)
        }
    }

    private var threadCount: Int { threads ?? ThreadCount.available }

    private func encoding(_ source: Checkpoint) throws -> EncodingOptions {
        let importance = try ImportanceMatrix.read(imatrix, for: source.configuration)
        if method == .gptq, let imatrix, importance?.hessians == nil {
            throw QuantizerError(
                code: .badRule, message: "\(imatrix) has no second-order matrices, which --method gptq needs",
                advice: "Make it with 'moe-quantize calibrate --hessians'")
        }
        return EncodingOptions(method: method, importance: importance)
    }

    private func forecast(
        _ source: Checkpoint, _ plan: FormatPlan, _ encoding: EncodingOptions
    ) throws -> ConversionForecast {
        try ConversionForecast(
            source, plan: plan, tool: MoeQuantize.tool, packing: pack, encoding: encoding, threadCount: threadCount)
    }

    private func forecast() throws {
        let source = try Checkpoint(path: checkpoint, takesPrediction: !leavesPrediction)
        let encoding = try encoding(source)
        let plan = try recipe.plan(
            for: source, importance: encoding.importance, threadCount: threadCount, cancellation: Cancellation())
        try plan.check(method)
        let result = try DryRun(
            try forecast(source, plan, encoding), plan: plan,
            recipe: plan.recipe(tool: MoeQuantize.tool, packing: pack, encoding: encoding), output: output)
        print(json ? try result.json() : result.text)
        for warning in source.warnings + tokenizerWarnings(source) { Terminal.complain("warning: " + warning) }
    }

    private var unfinishedByteCount: Int { (try? InputFile(path: "\(output).partial").byteCount) ?? 0 }

    private func convert() throws {
        let cancellation = Cancellation()
        let signals = StopSignals(cancellation)
        defer { signals.stop() }
        // Whether the output can be written is known before anything is read.
        let mayBeFinished = try resume && ContainerWriter.identityOfFinished(path: output) != nil
        let opened = mayBeFinished ? nil : try openWriter()
        let source = try Checkpoint(path: checkpoint, takesPrediction: !leavesPrediction)
        try cancellation.check()
        let encoding = try encoding(source)
        let plan = try recipe.plan(
            for: source, importance: encoding.importance, threadCount: threadCount, cancellation: cancellation)
        try plan.check(method)
        let progress = ConversionProgress(
            totalByteCount: Conversion.sourceByteCount(of: source),
            hashByteCount: source.files.reduce(0) { $0 + $1.byteCount })
        let conversion = Conversion(
            source, plan: plan, packing: pack, encoding: encoding, threadCount: threadCount, progress: progress,
            cancellation: cancellation)
        if mayBeFinished, try conversion.isFinished(path: output, tool: MoeQuantize.tool) {
            print("\(output): was finished already")
            return
        }
        let forecast = try forecast(source, plan, encoding)
        try DiskSpace.check(forecast, output: output, unfinishedByteCount: resume ? unfinishedByteCount : 0)
        let writer = try opened ?? openWriter()
        let clock = ContinuousClock()
        let start = clock.now
        let report = try run(conversion, into: writer, progress)
        print(Summary(report, plan: plan, output: output, duration: clock.now - start).text)
        for warning in report.warnings + tokenizerWarnings(source) { Terminal.complain("warning: " + warning) }
    }

    /// Why the daemon won't serve what is converted, though a tokenizer comes along.
    private func tokenizerWarnings(_ source: Checkpoint) -> [String] {
        guard let json = source.text.tokenizerJSON else { return [] }
        do {
            _ = try Tokenizer(tokenizerJSON: json, configJSON: source.text.tokenizerConfigJSON)
            return []
        } catch {
            return ["The model can be traced, but neither measured on texts nor served: \(error)"]
        }
    }

    private func openWriter() throws -> ContainerWriter {
        try ContainerWriter(path: output, replacing: force, resuming: resume)
    }

    private func run(
        _ conversion: Conversion, into writer: ContainerWriter, _ progress: ConversionProgress
    ) throws -> ConversionReport {
        let display = ProgressDisplay(progress)
        do {
            defer { display.stop() }
            return try conversion.run(into: writer, tool: MoeQuantize.tool)
        } catch {
            let code = Failure.report(error)
            let isOther = (error as? QuantizerError)?.code == .changed
            if writer.canBeResumed, !isOther {
                Terminal.complain("what is done is kept; the same command with --resume goes on from there")
            }
            throw code
        }
    }
}

extension QuantizationMethod: ExpressibleByArgument {}
extension Packing: ExpressibleByArgument {}

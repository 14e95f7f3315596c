import ArgumentParser
import Checkpoint
import Compute
import Container
import Quantizer

struct RepairCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair", abstract: "Make the bad tensors and experts of a .moe file anew.",
        discussion: """
            Writes a copy in which only what verify finds bad is made again from the checkpoint, and gives it the name when \
            it is complete: the old file or the sound one is there at any moment. The sound one is the same, byte for byte, \
            as before the damage; if the checkpoint or the version of moe-quantize can't give that, nothing is changed.
            """)

    @Argument(help: ArgumentHelp("The damaged file.", valueName: "model.moe"))
    var model: String

    @Option(help: ArgumentHelp("The checkpoint that it was made from.", valueName: "checkpoint"))
    var from: String

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("The file to make; by default the damaged one is replaced.", valueName: "name.moe"))
    var output: String?

    @Option(help: ArgumentHelp("The importance matrix that it was made with, if any.", valueName: "file"))
    var imatrix: String?

    @Option(help: "Threads to use; by default all that the machine allows.")
    var threads: Int?

    @Flag(help: "Replace the output file if there is one.")
    var force = false

    func validate() throws {
        if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads must be from 1 to 1024.") }
        if let output, output.isEmpty || output.hasSuffix("/") {
            throw ValidationError("--output must be a file's name.")
        }
    }

    func run() throws {
        do {
            try repair()
        } catch {
            throw Failure.report(error)
        }
    }

    private func repair() throws {
        let cancellation = Cancellation()
        let signals = StopSignals(cancellation)
        defer { signals.stop() }
        let threadCount = threads ?? ThreadCount.available
        let reader = try ContainerReader(path: model)
        let checkpoint = try Checkpoint(path: from, takesPrediction: reader.hasPrediction)
        let progress = ConversionProgress(
            totalByteCount: reader.dataByteCount, hashByteCount: 0, phase: .repairing)
        let remaking = try Remaking(
            reader, from: checkpoint, importance: try ImportanceMatrix.read(imatrix, for: checkpoint.configuration),
            tool: MoeQuantize.tool, threadCount: threadCount, progress: progress,
            cancellation: cancellation)
        let problems = try Verification.problems(of: reader, threadCount: threadCount, cancellation)
        guard !problems.isEmpty || output != nil else {
            print("\(model): sound; there is nothing to repair")
            return
        }
        let target = output ?? model
        let writer = try ContainerWriter(path: target, replacing: output == nil || force)
        do {
            let display = ProgressDisplay(progress)
            defer { display.stop() }
            try remaking.repair(Set(problems.map(\.offset)), into: writer)
        }
        print("\(target): sound; made anew: \(problems.isEmpty ? "nothing" : "")")
        for problem in problems { print("  \(problem.name) (\(problem.byteCount) bytes at byte \(problem.offset))") }
    }
}

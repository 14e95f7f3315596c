import ArgumentParser
import Checkpoint
import Compute
import Container
import FoundationEssentials
import Quantizer

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Check that a .moe file is sound.",
        discussion: """
            Reads all of it: checksums, numbers that aren't finite, shapes and places, padding. Lists every bad tensor and \
            expert and ends with 65 if there is one; repair makes them anew. With --against everything is made again from \
            the checkpoint and compared, which takes as long as the conversion.
            """)

    @Argument(help: ArgumentHelp("The file to check.", valueName: "model.moe"))
    var model: String

    @Option(help: ArgumentHelp("The checkpoint that it was made from.", valueName: "checkpoint"))
    var against: String?

    @Option(help: ArgumentHelp("The importance matrix that it was made with, if any.", valueName: "file"))
    var imatrix: String?

    @Flag(help: "Print the result as JSON.")
    var json = false

    @Option(help: "Threads to use; by default all that the machine allows.")
    var threads: Int?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads must be from 1 to 1024.") }
    }

    func run() throws {
        do {
            try verify()
        } catch let code as ExitCode {
            throw code
        } catch {
            throw Failure.report(error)
        }
    }

    private func verify() throws {
        let cancellation = Cancellation()
        let signals = StopSignals(cancellation)
        defer { signals.stop() }
        let threadCount = threads ?? ThreadCount.available
        let clock = ContinuousClock()
        let start = clock.now
        let reader = try ContainerReader(path: model)
        var problems = try Verification.problems(of: reader, threadCount: threadCount, cancellation)
        var byteCount = reader.dataByteCount
        if let against {
            let checkpoint = try Checkpoint(path: against, takesPrediction: reader.hasPrediction)
            let progress = ConversionProgress(
                totalByteCount: Conversion.sourceByteCount(of: checkpoint), hashByteCount: 0, phase: .comparing)
            let remaking = try Remaking(
                reader, from: checkpoint, importance: try ImportanceMatrix.read(imatrix, for: checkpoint.configuration),
                tool: MoeQuantize.tool, threadCount: threadCount, progress: progress,
                cancellation: cancellation)
            let display = ProgressDisplay(progress)
            defer { display.stop() }
            problems += try remaking.differences()
            byteCount += progress.totalByteCount
        }
        let outcome = Outcome(
            model: model, arrayCount: reader.arrays.count - reader.planeCount,
            predictionArrayCount: reader.prediction.tensors.count + reader.prediction.experts.count,
            byteCount: byteCount,
            seconds: (clock.now - start).seconds, isSound: problems.isEmpty, comparedWith: against,
            problems: problems)
        print(json ? try outcome.json : outcome.text)
        if !problems.isEmpty { throw ExitCode(65) }
    }

    private struct Outcome: Encodable {
        var model: String
        var arrayCount: Int
        /// Of these, those of layers for multi-token prediction.
        var predictionArrayCount: Int
        var byteCount: Int
        var seconds: Double
        var isSound: Bool
        var comparedWith: String?
        var problems: [ContainerProblem]

        var json: String {
            get throws {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
                return String(decoding: try encoder.encode(self), as: UTF8.self)
            }
        }

        var text: String {
            let rate = Amount.bytes(Int(Double(byteCount) / max(seconds, 0.001)))
            let prediction = predictionArrayCount > 0 ? ", \(predictionArrayCount) of them for prediction" : ""
            let work = "\(arrayCount) tensors and experts\(prediction), \(Amount.bytes(byteCount)), \(rate)/s"
            guard !isSound else {
                return "\(model): sound" + (comparedWith.map { ", and the same as \($0) gives" } ?? "") + " (\(work))"
            }
            let lines = problems.map { "  \($0.name) (\($0.byteCount) bytes at byte \($0.offset)): \($0.reason)" }
            let head = "\(model): \(problems.count) problem\(problems.count == 1 ? "" : "s") (\(work))"
            return ([head] + lines).joined(separator: "\n")
        }
    }
}

/// A container's contents, checked with a progress bar.
enum Verification {
    static func problems(
        of reader: ContainerReader, threadCount: Int, _ cancellation: Cancellation
    ) throws -> [ContainerProblem] {
        let progress = ConversionProgress(
            totalByteCount: reader.dataByteCount, hashByteCount: 0, phase: .verifying)
        let display = ProgressDisplay(progress)
        defer { display.stop() }
        let problems = reader.problems(
            on: ThreadPool(threadCount: threadCount), progress: { progress.advance($0) },
            isCancelled: { cancellation.isRequested })
        try cancellation.check()
        return problems
    }
}

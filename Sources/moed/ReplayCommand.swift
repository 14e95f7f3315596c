import ArgumentParser
import ExpertPaging
import Glibc

/// `moed replay`: what the arena's policy makes of recorded routing.
struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Run recorded expert routing through the policy that decides which experts stay in memory.",
        discussion: """
            TRACE is a file with one JSON object a token ({"layers": [[experts], …]}) or a table with the columns turn, \
            phase, step, layer and expert (rows of phase 0, the prompt's, are left out), or synthetic:NAME for made-up routing that \
            resembles a model's (\(SyntheticRouting.known.map(\.name).joined(separator: ", "))).

            Hit rates count the tokens after the warm-up. LRU evicts the least recently used expert of all layers; the \
            optimum knows the future; the gap is how much of what lies between the two the policy gains.
            """)

    @Argument(help: "The trace.", completion: .file())
    var trace: String

    @Option(help: "Slots for experts; may be given more than once.")
    var slots: [Int] = []

    @Option(help: "Slots as a part of all experts, 0 to 1; may be given more than once.")
    var fraction: [Double] = []

    @Option(help: "Experts of a layer, for a trace that doesn't say (default: the next power of two).")
    var experts: Int?

    @Option(help: "Part of the tokens that isn't counted.")
    var warmUp = 0.25

    @Option(help: "Tokens of made-up routing.")
    var tokens = 400

    @Option(help: "Seed of made-up routing.")
    var seed: UInt64 = 1

    @Option(help: "Tokens until made-up routing changes its subject (default: never).")
    var topic: Int?

    func validate() throws {
        guard fraction.allSatisfy({ 0...1 ~= $0 }) else { throw ValidationError("--fraction must be 0 to 1.") }
        guard 0..<1 ~= warmUp else { throw ValidationError("--warm-up must be 0 or more, and below 1.") }
        guard slots.allSatisfy({ $0 > 0 }) else { throw ValidationError("--slots must be at least 1.") }
        guard experts.map({ 1...65_536 ~= $0 }) ?? true else { throw ValidationError("--experts must be 1 to 65536.") }
        guard 1...100_000 ~= tokens else { throw ValidationError("--tokens must be 1 to 100000.") }
        guard topic.map({ $0 > 0 }) ?? true else { throw ValidationError("--topic must be at least 1.") }
    }

    func run() throws {
        let routing: RoutingTrace
        do {
            routing = try readTrace()
        } catch let error as RoutingTraceError {
            var line = "moed replay: error: \(error)\n"
            line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
            throw ExitCode(EX_DATAERR)
        }
        let replay = Replay(routing, warmUp: warmUp)
        print(
            "\(routing.tokens.count) tokens, \(routing.layerCount) layers, \(routing.expertsPerToken) of "
                + "\(routing.expertsPerLayer) experts a layer; \(replay.warmUpCount) tokens of warm-up")
        print("  slots   part     LRU    moed  optimum     gap  reads a token")
        let fractions = slots.isEmpty && fraction.isEmpty ? [0.03, 0.0625, 0.125, 0.25, 0.375, 0.5] : fraction
        for count in slots + fractions.map(replay.slotCount(fraction:)) {
            let slotCount = min(max(count, replay.leastSlotCount), routing.expertCount)
            print(Self.row(replay, slotCount: slotCount))
        }
    }

    private func readTrace() throws -> RoutingTrace {
        let prefix = "synthetic:"
        guard trace.hasPrefix(prefix) else { return try RoutingTrace(path: trace, expertsPerLayer: experts) }
        var parameters = try SyntheticRouting(parsing: trace.dropFirst(prefix.count))
        if let topic { parameters.topicLength = topic }
        return try parameters.trace(tokenCount: tokens, seed: seed)
    }

    private static func row(_ replay: Replay, slotCount: Int) -> String {
        let outcome = replay.run(slotCount: slotCount)
        let recent = replay.runLeastRecentlyUsed(slotCount: slotCount)
        let optimum = replay.runOptimum(slotCount: slotCount)
        let gap = optimum.hitRate - recent.hitRate
        let gained = gap > 0.001 ? "\(fixed(100 * (outcome.hitRate - recent.hitRate) / gap, 0)) %" : "-"
        return [
            pad("\(slotCount)", 7),
            pad("\(fixed(100 * Double(slotCount) / Double(replay.trace.expertCount), 1))%", 7),
            pad(fixed(100 * recent.hitRate, 1), 8), pad(fixed(100 * outcome.hitRate, 1), 8),
            pad(fixed(100 * optimum.hitRate, 1), 9), pad(gained, 8), pad(fixed(outcome.readsPerToken, 1), 15),
        ].joined()
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    private static func fixed(_ value: Double, _ digits: Int) -> String {
        let scale = digits == 0 ? 1.0 : 10
        let rounded = (value * scale).rounded() / scale
        return digits == 0 ? "\(Int(rounded))" : "\(rounded)"
    }
}

import Dispatch
import Evaluation
import Quantizer

/// Shows on standard error how far the work is: a bar that is redrawn, or a plain line now and then.
final class ProgressDisplay {
    private let timer: any DispatchSourceTimer
    private let canRedraw: Bool
    private let queue = DispatchQueue(label: "progress")

    private static let redrawInterval = DispatchTimeInterval.milliseconds(200)
    private static let lineInterval = DispatchTimeInterval.seconds(10)
    private static let barWidth = 30

    /// - Parameter line: what to show after some time, with a bar or without.
    init(_ line: @escaping @Sendable (_ elapsed: Duration, _ withBar: Bool) -> String) {
        let canRedraw = Terminal.canRedraw
        let clock = ContinuousClock()
        let start = clock.now
        timer = DispatchSource.makeTimerSource(queue: queue)
        self.canRedraw = canRedraw
        let interval = canRedraw ? Self.redrawInterval : Self.lineInterval
        timer.schedule(deadline: .now() + interval, repeating: interval)
        timer.setEventHandler {
            let line = line(clock.now - start, canRedraw)
            Terminal.write(canRedraw ? "\r\u{1B}[2K\(line)" : "\(line)\n")
        }
        timer.resume()
    }

    /// After this returns nothing more is drawn, and a bar is gone.
    func stop() {
        timer.cancel()
        queue.sync {}
        if canRedraw { Terminal.write("\r\u{1B}[2K") }
    }

    convenience init(_ progress: ConversionProgress) {
        self.init { Self.line(progress, elapsed: $0, withBar: $1) }
    }

    convenience init(_ progress: TextProgress, _ verb: String) {
        self.init { Self.line(progress, verb, elapsed: $0, withBar: $1) }
    }

    /// `evaluating  [#######-----]  45 %  1210 tokens/s  1:23 left`
    static func line(_ progress: TextProgress, _ verb: String, elapsed: Duration, withBar: Bool) -> String {
        let share = Double(progress.tokenCount) / Double(max(1, progress.totalTokenCount))
        let seconds = max(elapsed.seconds, 0.001)
        var line = verb + (withBar ? bar(share) : "")
        line += "  \(Int(share * 100)) %  \(Int(Double(progress.tokenCount) / seconds)) tokens/s"
        if share > 0 { line += "  \(Amount.clock(seconds / share * (1 - share))) left" }
        return line
    }

    private static func bar(_ share: Double) -> String {
        let filled = Int(share * Double(barWidth))
        return "  [" + String(repeating: "#", count: filled) + String(repeating: "-", count: barWidth - filled) + "]"
    }

    /// `converting  [#######-----]  45 %  95 MB/s  1:23 left`
    static func line(_ progress: ConversionProgress, elapsed: Duration, withBar: Bool) -> String {
        let total = max(1, progress.totalByteCount + progress.hashByteCount)
        let done = progress.convertedByteCount + progress.hashedByteCount
        let share = min(1, Double(done) / Double(total))
        let seconds = max(elapsed.seconds, 0.001)
        var line = "\(progress.phase)"
        if withBar { line += bar(share) }
        line += "  \(Int(share * 100)) %  \(Amount.bytes(Int(Double(done) / seconds)))/s"
        // The first moments say nothing about the rest.
        if share > 0.01, progress.phase != .finishing {
            line += "  \(Amount.clock(seconds / share * (1 - share))) left"
        }
        return line
    }
}

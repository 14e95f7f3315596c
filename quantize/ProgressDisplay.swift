import Dispatch
import Quantizer

/// Shows on standard error how far a conversion is: a bar that is redrawn, or a plain line now and then.
final class ProgressDisplay {
    private let timer: any DispatchSourceTimer
    private let canRedraw: Bool
    private let queue = DispatchQueue(label: "progress")

    private static let redrawInterval = DispatchTimeInterval.milliseconds(200)
    private static let lineInterval = DispatchTimeInterval.seconds(10)
    private static let barWidth = 30

    init(_ progress: ConversionProgress) {
        let canRedraw = Terminal.canRedraw
        let clock = ContinuousClock()
        let start = clock.now
        timer = DispatchSource.makeTimerSource(queue: queue)
        self.canRedraw = canRedraw
        let interval = canRedraw ? Self.redrawInterval : Self.lineInterval
        timer.schedule(deadline: .now() + interval, repeating: interval)
        timer.setEventHandler {
            let line = Self.line(progress, elapsed: clock.now - start, withBar: canRedraw)
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

    /// `converting  [#######-----]  45 %  95 MB/s  1:23 left`
    static func line(_ progress: ConversionProgress, elapsed: Duration, withBar: Bool) -> String {
        let total = max(1, progress.totalByteCount + progress.hashByteCount)
        let done = progress.convertedByteCount + progress.hashedByteCount
        let share = min(1, Double(done) / Double(total))
        let seconds = max(elapsed.seconds, 0.001)
        var line = "\(progress.phase)"
        if withBar {
            let filled = Int(share * Double(barWidth))
            line += "  [" + String(repeating: "#", count: filled)
            line += String(repeating: "-", count: barWidth - filled) + "]"
        }
        line += "  \(Int(share * 100)) %  \(Amount.bytes(Int(Double(done) / seconds)))/s"
        // The first moments say nothing about the rest.
        if share > 0.01, progress.phase != .finishing {
            line += "  \(Amount.clock(seconds / share * (1 - share))) left"
        }
        return line
    }
}

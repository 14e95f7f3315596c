import ExpertPaging
import Generation
import Logging

/// Keeps `systemctl status` up to date, pets systemd's watchdog for as long as the engine moves, and has the model's file
/// looked at: all that the daemon does regularly, in one place, because waking up is most of what an idle daemon costs.
struct StatusReporter: Sendable {
    let model: ServedModel
    let watch: ModelWatch
    let manager: ServiceManager
    let logger: Logger

    private static let interval = Duration.seconds(1)
    private static let idleInterval = Duration.seconds(2)

    /// Runs until it is cancelled.
    func run() async throws {
        let watchdog = manager.watchdogTimeout
        let longest = (watchdog ?? .seconds(4)) / 2
        var shown = Self.idleText(model)
        var wasAlive = true
        while !Task.isCancelled {
            if let watchdog {
                // An engine that has work and doesn't move isn't healthy, however well the sockets do.
                let isAlive = model.engine.heartbeat.isAlive(within: watchdog / 2)
                if isAlive { manager.ping() }
                if wasAlive, !isAlive { logger.critical("the engine doesn't move: systemd will restart the daemon") }
                wasAlive = isAlive
            }
            let status = model.engine.status()
            let text = text(status)
            if text != shown {
                shown = text
                manager.status(text)
            }
            watch.lookIfDue()
            let interval = min(status.activity == .idle ? Self.idleInterval : Self.interval, longest)
            // Whatever else wakes up about then may wait for it, or this for that.
            do { try await Task.sleep(for: interval, tolerance: interval / 10) } catch { return }
        }
    }

    static func idleText(_ model: ServedModel) -> String { "ready, \(model.id), \(model.contextLength) tokens" }

    private func text(_ status: EngineStatus) -> String {
        var parts: [String]
        switch status.activity {
        case .idle:
            return ([status.isDraining ? "stopping" : Self.idleText(model)] + watch.conditions).joined(separator: ", ")
        case .prefill(let processed, let total):
            parts = ["prefill \(processed)/\(total)"]
        case .decode(let count):
            parts = ["decode, \(count) tokens"]
            if status.runningCount > 1 { parts.append("\(status.runningCount) answers") }
            if let rate = status.decodeRate { parts.append("\((rate * 10).rounded() / 10) tokens/s") }
        }
        let uses = status.paging.uses
        if uses > 0 { parts.append("\(status.paging.hits * 100 / uses) % expert hits") }
        if status.waitingCount > 0 { parts.append("\(status.waitingCount) waiting") }
        return (parts + watch.conditions).joined(separator: ", ")
    }
}

import ExpertPaging
import Generation
import Logging

/// Keeps `systemctl status` up to date, and pets systemd's watchdog for as long as the engine moves.
struct StatusReporter: Sendable {
    let model: ServedModel
    let watch: ModelWatch
    let manager: ServiceManager
    let logger: Logger

    /// Runs until it is cancelled.
    func run() async throws {
        let watchdog = manager.watchdogTimeout
        let interval = min(.seconds(1), (watchdog ?? .seconds(2)) / 2)
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
            let text = text()
            if text != shown {
                shown = text
                manager.status(text)
            }
            do { try await Task.sleep(for: interval) } catch { return }
        }
    }

    static func idleText(_ model: ServedModel) -> String { "ready, \(model.id), \(model.contextLength) tokens" }

    private func text() -> String {
        let status = model.engine.status()
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
        let uses = status.paging.hits + status.paging.misses
        if uses > 0 { parts.append("\(status.paging.hits * 100 / uses) % expert hits") }
        if status.waitingCount > 0 { parts.append("\(status.waitingCount) waiting") }
        return (parts + watch.conditions).joined(separator: ", ")
    }
}

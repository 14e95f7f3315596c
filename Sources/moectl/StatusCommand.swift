import API
import ArgumentParser

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show what the daemon runs and how it does.")

    @OptionGroup var daemon: DaemonOptions

    @Flag(help: "Print the daemon's answer as JSON.")
    var json = false

    func run() async throws {
        if json {
            try OutputStream.output.write(await daemon.client.get("/moed/status") + [UInt8(ascii: "\n")])
            return
        }
        let rows = StatusReport.rows(try await daemon.client.status())
        let width = rows.map(\.name.count).max() ?? 0
        for row in rows {
            let padding = String(repeating: " ", count: width - row.name.count)
            try OutputStream.output.write(TerminalText.neutralized("\(row.name)\(padding)  \(row.value)\n"))
        }
    }
}

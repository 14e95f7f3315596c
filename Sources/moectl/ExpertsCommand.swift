import API
import ArgumentParser

struct ExpertsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "experts", abstract: "Show which experts are used, and which are in memory.",
        discussion: """
            One row a layer, one column an expert, or several where the terminal is too narrow. The darker a column, the \
            more its experts are used compared with an even spread; experts in memory are green, or shown as letters \
            where the terminal has no colours.
            """)

    @OptionGroup var daemon: DaemonOptions

    @Flag(help: "Print the daemon's answer as JSON.")
    var json = false

    func run() async throws {
        if json {
            try OutputStream.output.write(await daemon.client.get("/moed/experts") + [UInt8(ascii: "\n")])
            return
        }
        let terminal = Terminal.current()
        let map = HeatMap(
            columnCount: Terminal.columnCount, hasColors: terminal.outputIsInteractive && terminal.allowsEscapes)
        for line in map.lines(try await daemon.client.experts()) { try OutputStream.output.write(line + "\n") }
    }
}

import API
import ArgumentParser

@main
struct Moed: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "moed",
        abstract: "Run a mixture-of-experts language model behind a Unix socket.",
        version: Version.current,
        subcommands: [ServeCommand.self, TraceCommand.self, BenchCommand.self, PlanCommand.self, ReplayCommand.self])
}

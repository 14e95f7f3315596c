import API
import ArgumentParser

struct ModelsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models", abstract: "List the models that the daemon offers.")

    @OptionGroup var daemon: DaemonOptions

    @Flag(help: "Print the daemon's answer as JSON.")
    var json = false

    func run() async throws {
        if json {
            try OutputStream.output.write(await daemon.client.get("/v1/models") + [UInt8(ascii: "\n")])
            return
        }
        for model in try await daemon.client.models().data {
            try OutputStream.output.write(
                TerminalText.neutralized("\(model.id)\tcontext of \(model.contextLength) tokens\n"))
        }
    }
}

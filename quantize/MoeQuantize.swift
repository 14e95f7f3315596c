import ArgumentParser

@main
struct MoeQuantize: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "moe-quantize",
        abstract: "Turns published mixture-of-experts checkpoints into .moe files.",
        version: version,
        subcommands: [
            ConvertCommand.self, VerifyCommand.self, RepairCommand.self, CalibrateCommand.self, EvaluateCommand.self,
            SynthesizeCommand.self, InspectCommand.self,
        ])

    static let version = "0.1.0"
    /// As the containers' recipes name it.
    static let tool = "moe-quantize \(version)"
}

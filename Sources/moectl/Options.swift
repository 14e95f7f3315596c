import API
package import ArgumentParser

/// Which daemon to talk to.
package struct DaemonOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The daemon's socket.",
            discussion:
                "Otherwise $MOED_SOCKET, your own daemon's ($XDG_RUNTIME_DIR/moed/moed.sock), or /run/moed/moed.sock.",
            valueName: "path"))
    package var socket: String?

    package init() {}

    var client: DaemonClient {
        DaemonClient(SocketLocation(option: socket, environment: environmentValue))
    }
}

/// How the answer's tokens are chosen; what isn't given is the model's own default.
package struct SamplingOptions: ParsableArguments, Sendable {
    @Option(help: ArgumentHelp("The longest answer, in tokens.", valueName: "count"))
    package var maxTokens: Int?

    @Option(help: ArgumentHelp("0 always takes the likeliest token.", valueName: "number"))
    package var temperature: Double?

    @Option(help: ArgumentHelp("Choose among the likeliest tokens of this total probability.", valueName: "share"))
    package var topP: Double?

    @Option(help: ArgumentHelp("The same seed gives the same text.", valueName: "number"))
    package var seed: Int?

    @Option(
        help: ArgumentHelp(
            "Lossy: experts in memory rank higher, by a part of 0 to 1; the daemon's default if not given.",
            valueName: "part"))
    package var preferResident: Double?

    @Option(
        help: ArgumentHelp(
            "Lossy: leave out experts that aren't in memory and weigh little, below a part of 0 to 1 of the mean.",
            valueName: "part"))
    package var dropCold: Double?

    package init() {}

    func apply(to request: inout ChatCompletionRequest) {
        if preferResident != nil || dropCold != nil {
            request.moed = LossyOptions(preferResident: preferResident, dropCold: dropCold)
        }
        request.maxTokens = maxTokens
        request.temperature = temperature
        request.topP = topP
        request.seed = seed
    }
}

/// What the answer is asked for.
package struct ConversationOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The model's name; the daemon's only one if not given.", valueName: "name"))
    package var model: String?

    @Option(help: ArgumentHelp("A system prompt: the role the model plays.", valueName: "text"))
    package var system: String?

    @Flag(inversion: .prefixedNo, help: "Let the model think before it answers.")
    package var think: Bool?

    package init() {}

    var conversation: Conversation {
        Conversation(systemPrompt: system, thinks: think)
    }

    /// The model to name in requests.
    func modelName(_ client: DaemonClient) async throws -> String {
        if let model { return model }
        guard let first = try await client.models().data.first else {
            throw ClientError(.unavailable, "the daemon has no model")
        }
        return first.id
    }
}

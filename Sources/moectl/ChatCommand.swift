import ArgumentParser

struct ChatCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat",
        abstract: "Have a conversation.",
        discussion: """
            Without a terminal, every line of standard input is a message and the answers follow each other on standard \
            output.

            \(SlashCommand.summary)
            """)

    @OptionGroup var daemon: DaemonOptions
    @OptionGroup var conversation: ConversationOptions
    @OptionGroup var sampling: SamplingOptions

    func run() async throws {
        let client = daemon.client
        let session = ChatSession(
            client: client, model: try await conversation.modelName(client), conversation: conversation.conversation,
            sampling: sampling, terminal: .current())
        try await session.run()
    }
}

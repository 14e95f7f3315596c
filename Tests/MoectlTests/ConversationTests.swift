import API
import TestSupport
import Testing
import moectl

@Suite struct ConversationTests {
    @Test(arguments: [
        (["hello"], ["hello"]),
        (["one\\", "two"], ["one\ntwo"]),
        ([#"""""#, "a", "b", #"""""#, "c"], ["a\nb", "c"]),
        (["\"\"\"one\"\"\""], ["one"]),
        (["\"\"\"first", "last\"\"\""], ["first\nlast"]),
    ])
    func linesBecomeMessages(lines: [String], expected: [String]) {
        var composer = MessageComposer()
        #expect(lines.compactMap { composer.append($0) } == expected)
        #expect(!composer.isIncomplete)
        #expect(composer.finish() == nil)
    }

    @Test func unfinishedMessageIsSentAtTheEnd() {
        var composer = MessageComposer()
        #expect(composer.append("half\\") == nil)
        #expect(composer.isIncomplete)
        #expect(composer.finish() == "half")
    }

    @Test(arguments: [
        ("/help", SlashCommand.help), ("/clear ", .clear), ("/exit", .exit), ("/bye", .exit),
        ("/system You are a cat. ", .system("You are a cat.")), ("/system", .system(nil)), ("/system off", .system("")),
        ("/think on", .think(true)), ("/think off", .think(false)), ("/think", .think(nil)),
    ])
    func slashCommandsAreUnderstood(line: String, expected: SlashCommand) {
        #expect(SlashCommand(line) == expected)
    }

    @Test func otherSlashesAreComplainedAboutAndOtherTextIsNot() throws {
        for line in ["/nonsense", "/think maybe", "/clear all"] {
            guard case .invalid = try #require(SlashCommand(line)) else {
                Issue.record("\(line) was accepted")
                continue
            }
        }
        #expect(SlashCommand("1/2") == nil)
        #expect(SlashCommand("/etc\nis a directory") == nil)
    }

    @Test func requestCarriesTheWholeConversation() {
        var conversation = Conversation(systemPrompt: "Be brief.", thinks: false)
        conversation.appendExchange(prompt: "Hi", answer: "Hello")
        let request = conversation.request(model: "m", prompt: "Bye")
        #expect(request.messages.map(\.role) == [.system, .user, .assistant, .user])
        #expect(request.messages.map { $0.content?.text } == ["Be brief.", "Hi", "Hello", "Bye"])
        #expect(request.thinking?.type == .disabled)
        conversation.clear()
        let anew = conversation.request(model: "m", prompt: "Bye")
        #expect(anew.messages.map(\.role) == [.system, .user])
    }

    @Test func historyOutlivesTheProgram() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/state/moectl/history"
        var history = History(path: path)
        for entry in ["one", "one", "two\nlines \\n", "   "] { history.append(entry) }
        #expect(History(path: path).entries == ["one", "two\nlines \\n"])
    }

    @Test func historyIsKeptShort() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/history"
        var history = History(path: path)
        for number in 0..<(2 * History.limit + 5) { history.append("\(number)") }
        #expect(history.entries.count == History.limit)
        #expect(History(path: path).entries.first == "\(History.limit + 5)")
        #expect(History(path: path).entries.count == History.limit)
    }

    @Test func historyWithoutAPlaceIsHarmless() {
        #expect(History.defaultPath(environment: { _ in nil }) == nil)
        #expect(History.defaultPath(environment: { $0 == "HOME" ? "/h" : nil }) == "/h/.local/state/moectl/history")
        var history = History(path: "/proc/none/history")
        history.append("kept in memory")
        #expect(history.entries == ["kept in memory"])
    }

    @Test(arguments: [
        (Quantity.bytes(999), "999 bytes"), (Quantity.bytes(7_949_000), "7.9 MB"),
        (Quantity.bytes(13_400_000_000), "13.4 GB"), (Quantity.rate(312.4), "312"), (Quantity.rate(3.14), "3.1"),
        (Quantity.duration(seconds: 59.9), "59 s"), (Quantity.duration(seconds: 12_000), "3 h 20 min"),
        (Quantity.parameters(11_500_000), "11.5 million"), (Quantity.percent(0.714), "71.4 %"),
    ])
    func quantitiesAreReadable(shown: String, expected: String) {
        #expect(shown == expected)
    }
}

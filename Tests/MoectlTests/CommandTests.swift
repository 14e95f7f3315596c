import TestSupport
import Testing

@Suite struct CommandTests {
    private static let models = ScriptedServer.Script.json(
        #"{"object":"list","data":[{"id":"fable","object":"model","created":7,"owned_by":"moed","context_length":512}]}"#
    )

    private static func answer(_ texts: [String], isComplete: Bool = true) -> ScriptedServer.Script {
        let chunks = texts.map {
            #"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"fable","choices":"#
                + #"[{"index":0,"delta":\#($0),"logprobs":null,"finish_reason":null}]}"# + "\n\n"
        }
        return .events(
            chunks + (isComplete ? ["data: [DONE]\n\n"] : []), isComplete: isComplete, waitsForClient: !isComplete)
    }

    private static func content(_ texts: String...) -> ScriptedServer.Script {
        answer(texts.map { #"{"content":"\#($0)"}"# })
    }

    // MARK: Scripts

    @Test func runAnswersOnStandardOutput() throws {
        let server = try ScriptedServer([Self.models, Self.content("Once", " upon\\u001b[2J")])
        let client = try ClientProcess.betweenPipes(["run", "Tell me", "--socket", server.path])
        client.type("a story\n")
        client.closeInput()
        let (status, output, errors) = client.finish()
        #expect(status == 0)
        #expect(output == "Once upon\u{1B}[2J\n")
        #expect(errors.isEmpty)
        #expect(server.requests.last?.contains(#""content":"Tell me\n\na story\n""#) == true)
    }

    @Test func runPrintsTheWholeAnswerAsJSON() throws {
        let body = #"{"id":"x","choices":[]}"#
        let server = try ScriptedServer([Self.models, .json(body)])
        let client = try ClientProcess.betweenPipes(["run", "--json", "--no-think", "Hi", "--socket", server.path])
        client.closeInput()
        let (status, output, _) = client.finish()
        #expect(status == 0)
        #expect(output == body + "\n")
        #expect(server.requests.last?.contains(#""stream":false"#) == true)
        #expect(server.requests.last?.contains(#""thinking":{"type":"disabled"}"#) == true)
    }

    @Test func socketIsFoundByItsVariable() throws {
        let server = try ScriptedServer([Self.models])
        let client = try ClientProcess.betweenPipes(["models"], environment: ["MOED_SOCKET": server.path])
        let (status, output, _) = client.finish()
        #expect(status == 0)
        #expect(output == "fable\tcontext of 512 tokens\n")
    }

    @Test func exitCodesTellWhatWentWrong() throws {
        let error = #"{"error":{"message":"the queue is full","type":"t","param":null,"code":"c"}}"#
        let server = try ScriptedServer([
            .json(error, status: "429 Too Many Requests"), .json(error, status: "400 Bad Request"),
            .json(error, status: "500 Internal Server Error"),
        ])
        let cases: [(arguments: [String], status: Int32, complaint: String)] = [
            (["--nonsense"], 64, "nonsense"),
            (["run", "--socket", server.path], 64, "no prompt"),
            (["status", "--socket", "/nowhere/moed.sock"], 69, "no daemon answers at /nowhere/moed.sock"),
            (["run", "Hi", "--model", "m", "--socket", server.path], 75, "the queue is full"),
            (["run", "Hi", "--model", "m", "--socket", server.path], 65, "the queue is full"),
            (["run", "Hi", "--model", "m", "--socket", server.path], 70, "the queue is full"),
        ]
        for (arguments, expected, complaint) in cases {
            let client = try ClientProcess.betweenPipes(arguments)
            client.closeInput()
            let (status, output, errors) = client.finish()
            #expect(status == expected, "\(arguments)")
            #expect(errors.contains(complaint), "\(arguments): \(errors)")
            #expect(output.isEmpty)
        }
    }

    @Test func linesOfAPipeAreAConversation() throws {
        let server = try ScriptedServer([Self.models, Self.content("One."), Self.content("Two.")])
        let client = try ClientProcess.betweenPipes(["chat", "--socket", server.path])
        client.type("first\n\n\"\"\"\nsecond\nthird\n\"\"\"\n/exit\nnever said\n")
        client.closeInput()
        let (status, output, errors) = client.finish()
        #expect(status == 0)
        #expect(output == "One.\nTwo.\n")
        #expect(errors.isEmpty)
        #expect(server.requests.count == 3)
        let last = try #require(server.requests.last)
        for text in [#""content":"first""#, #""content":"One.""#, #""content":"second\nthird""#] {
            #expect(last.contains(text))
        }
    }

    // MARK: A person at a terminal

    @Test func thinkingIsDimmedAndTheModelCannotDriveTheTerminal() throws {
        let server = try ScriptedServer([
            Self.models,
            Self.answer([#"{"reasoning_content":"Hm."}"#, #"{"content":"Yes\u001b]0;owned\u0007."}"#]),
        ])
        let client = try ClientProcess.onTerminal(["chat", "--socket", server.path])
        #expect(client.waits(for: ">>> "))
        client.type("Really?\r")
        #expect(client.waits(for: "\u{1B}[2mHm.\u{1B}[0m\r\n\r\nYes␛]0;owned␇.\r\n"))
        #expect(client.waits(for: ">>> "))
        client.type("\u{04}")
        #expect(client.finish().status == 0)
    }

    @Test func noColorMeansNoEscapes() throws {
        let server = try ScriptedServer([
            Self.models, Self.answer([#"{"reasoning_content":"Hm."}"#, #"{"content":"Yes"}"#]),
        ])
        let client = try ClientProcess.onTerminal(["chat", "--socket", server.path], environment: ["NO_COLOR": "1"])
        #expect(client.waits(for: ">>> "))
        client.type("Really?\n")
        #expect(client.waits(for: "(thinking) Hm."))
        #expect(client.waits(for: "Yes"))
        client.type("/exit\n")
        let (status, output, _) = client.finish()
        #expect(status == 0)
        #expect(!output.contains("\u{1B}"))
    }

    @Test func controlCStopsTheAnswerAndNotTheProgram() throws {
        let server = try ScriptedServer([
            Self.models, Self.answer([#"{"content":"Once"}"#], isComplete: false), Self.content("Twice"),
        ])
        let client = try ClientProcess.onTerminal(["chat", "--socket", server.path])
        #expect(client.waits(for: ">>> "))
        client.type("Go on\r")
        #expect(client.waits(for: "Once"))
        client.type("\u{03}")
        #expect(client.waits(for: "[stopped]"))
        #expect(!client.shown.contains("^C"))
        #expect(server.seesClientClose())
        client.type("Again\r")
        #expect(client.waits(for: "Twice"))
        #expect(client.waits(for: ">>> "))
        #expect(server.requests.last?.contains(#""content":"Once""#) == true)
        client.type("\u{03}")
        #expect(client.waits(for: "leaves"))
        // Between two lines the terminal isn't the editor's, and a key pressed just then is lost.
        #expect(client.waits(for: ">>> "))
        client.type("\u{03}")
        #expect(client.finish().status == 0)
    }

    @Test func historyComesBackInTheNextConversation() throws {
        let directory = try TemporaryDirectory()
        let server = try ScriptedServer([
            Self.models, Self.content("One."), Self.models, Self.content("Two."),
        ])
        for keys in ["remember me\r", "\u{1B}[A\u{1B}[A\r"] {
            let client = try ClientProcess.onTerminal(
                ["chat", "--socket", server.path], environment: ["XDG_STATE_HOME": directory.path])
            #expect(client.waits(for: ">>> "))
            client.type(keys)
            #expect(client.waits(for: keys.hasPrefix("r") ? "One." : "Two."))
            client.type("/exit\r")
            #expect(client.finish().status == 0)
        }
        #expect(server.requests.last?.contains(#""content":"remember me""#) == true)
    }
}

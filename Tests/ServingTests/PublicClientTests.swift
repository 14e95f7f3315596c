import DemoSupport
import Foundation
import TestSupport
import Testing

extension ServingSuite {
    @Suite("Public clients")
    struct PublicClientTests {
        private static let python = "\(Fixtures.root)/.build/venv/bin/python"
        private static let curl = "/usr/bin/curl"

        private func run(_ command: [String]) async throws -> (status: Int32, text: String) {
            try await RawConnection.blocking {
                let process = Process()
                let output = Pipe()
                process.executableURL = URL(fileURLWithPath: command[0])
                process.arguments = Array(command.dropFirst())
                process.standardOutput = output
                process.standardError = output
                try process.run()
                let data = try output.fileHandleForReading.readToEnd() ?? Data()
                process.waitUntilExit()
                return (process.terminationStatus, String(decoding: data, as: UTF8.self))
            }
        }

        @Test(
            "the openai package finds everything as it expects",
            .enabled(
                if: FileManager.default.isExecutableFile(atPath: Self.python),
                "the openai package isn't in .build/venv: make venv"))
        func openAIPackage() async throws {
            try await TestDaemon.run { daemon in
                let script = "\(Fixtures.root)/Tests/python/test_openai.py"
                let result = try await run([Self.python, script, daemon.socket])
                #expect(result.status == 0, "\(result.text)")
            }
        }

        @Test(
            "the openai package calls tools",
            .enabled(
                if: FileManager.default.isExecutableFile(atPath: Self.python),
                "the openai package isn't in .build/venv: make venv"))
        func openAITools() async throws {
            let model = try ScriptedModel(ToolTests.thoughtful, template: ToolTests.template)
            try await TestDaemon.run(model: model.path) { daemon in
                let script = "\(Fixtures.root)/Tests/python/test_tools.py"
                let result = try await run([Self.python, script, daemon.socket])
                #expect(result.status == 0, "\(result.text)")
            }
        }

        @Test(
            "the openai package parses answers that are held to a schema",
            .enabled(
                if: FileManager.default.isExecutableFile(atPath: Self.python),
                "the openai package isn't in .build/venv: make venv"))
        func openAIStructured() async throws {
            try await TestDaemon.run { daemon in
                let script = "\(Fixtures.root)/Tests/python/test_structured.py"
                let result = try await run([Self.python, script, daemon.socket])
                #expect(result.status == 0, "\(result.text)")
            }
        }

        @Test("curl talks to the socket", .enabled(if: FileManager.default.isExecutableFile(atPath: Self.curl)))
        func curlOverSocket() async throws {
            try await TestDaemon.run { daemon in
                let base = [Self.curl, "-sS", "--fail", "--no-buffer", "--unix-socket", daemon.socket]
                let models = try await run(base + ["http://localhost/v1/models"])
                #expect(models.status == 0 && models.text.contains(#""id":"demo""#), "\(models.text)")
                let stream = try await run(
                    base + [
                        "http://localhost/v1/chat/completions", "-d",
                        TestDaemon.chatBody(#""stream":true,"max_tokens":4"#),
                    ])
                #expect(stream.status == 0 && stream.text.hasSuffix("data: [DONE]\n\n"), "\(stream.text)")
                let refused = try await run(base + ["http://localhost/v1/completions", "-d", "{"])
                #expect(refused.status == 22, "\(refused.text)")
            }
        }
    }
}

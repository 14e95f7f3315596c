import Testing
import moectl

@Suite struct SocketLocationTests {
    private func location(_ option: String?, _ environment: [String: String]) -> [String] {
        SocketLocation(option: option, environment: { environment[$0] }).candidates
    }

    @Test func optionWinsOverEverything() {
        #expect(location("/a.sock", ["MOED_SOCKET": "/b.sock", "XDG_RUNTIME_DIR": "/run/user/1"]) == ["/a.sock"])
    }

    @Test func variableWinsOverTheUsualPlaces() {
        #expect(location(nil, ["MOED_SOCKET": "/b.sock", "XDG_RUNTIME_DIR": "/run/user/1"]) == ["/b.sock"])
    }

    @Test func ownDaemonComesBeforeTheSystems() {
        let environment = ["XDG_RUNTIME_DIR": "/run/user/1", "MOED_SOCKET": ""]
        #expect(location(nil, environment) == ["/run/user/1/moed/moed.sock", "/run/moed/moed.sock"])
        #expect(location(nil, [:]) == ["/run/moed/moed.sock"])
    }
}

// SPDX-License-Identifier: Apache-2.0
// Draws of a TSU of several groups: beats come mixed and know their command by its tag; they are handed on in the order
// of the commands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

struct Draw {
    uint32_t token;
    uint64_t weight;
    uint32_t spread;
};

class OwedDraws {
  public:
    // A command of this tag was accepted that asks for `count` draws.
    void ask(uint32_t tag, uint64_t count) {
        if (count) commands_.push_back({tag, count, {}, 0});
    }

    bool none() const { return commands_.empty(); }

    // Whether draws of this tag may be handed on at once: its command is the first, and nothing of it waits.
    bool passes(uint32_t tag) const {
        return !commands_.empty() && commands_.front().tag == tag && commands_.front().first == commands_.front().kept.size();
    }

    // n draws of the first command went to the user.
    void passed(uint64_t n) {
        Command &command = commands_.front();
        command.left -= n;
        if (command.left == 0) commands_.pop_front();
    }

    // Keep draws of a command; false where no command has this tag.
    bool keep(uint32_t tag, const Draw *draws, unsigned n) {
        for (Command &command : commands_) {
            if (command.tag != tag) continue;
            command.kept.insert(command.kept.end(), draws, draws + n);
            return true;
        }
        return false;
    }

    // Up to n draws that were kept, in the order of the commands; returns how many.
    uint64_t take(uint64_t n, uint32_t *tokens, uint64_t *weights, uint32_t *spreads) {
        uint64_t taken = 0;
        while (taken < n && !commands_.empty()) {
            Command &command = commands_.front();
            if (command.first == command.kept.size()) break;
            const Draw &draw = command.kept[command.first++];
            tokens[taken] = draw.token;
            weights[taken] = draw.weight;
            spreads[taken++] = draw.spread;
            passed(1);
        }
        return taken;
    }

  private:
    struct Command {
        uint32_t tag;
        uint64_t left;  // draws that the user has not got
        std::vector<Draw> kept;
        size_t first;  // of those kept
    };
    std::deque<Command> commands_;
};

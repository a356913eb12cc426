#pragma once

#define FAST_MS 250

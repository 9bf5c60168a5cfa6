// The landing page works without this. It shows the button that copies the commands, and writes https where the page came by it.
"use strict";

const command = document.getElementById("command");
const copy = document.getElementById("copy");
const copied = document.getElementById("copied");

if (location.protocol === "https:") {
  command.textContent = command.textContent.replaceAll("http://" + location.host, location.origin);
}

// Browsers give the clipboard only to pages that came over TLS or from this machine.
if (navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
      copied.textContent = "Copied.";
    } catch {
      copied.textContent = "The browser did not allow it: select the text and copy it.";
    }
  });
}
